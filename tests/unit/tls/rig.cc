// See rig.h.
#include "rig.h"

#include <algorithm>

#include <doctest/doctest.h>

namespace sluice::test {

void Side::bind(net::TransportPtr to) {
  transport = std::move(to);
  transport->start(*this);
}

void Side::send(std::string_view bytes) {
  to_send.append_copy(bytes);
  if (transport) transport->touch();
}

void Side::on_open() {
  const bool first = opens == 0 && deliveries == 0 && !eof && !end;
  CHECK(first);
  ++opens;
}

void Side::on_bytes(net::ByteQueue& in) {
  const bool expected = !end && !in.empty();
  CHECK(expected);
  ++deliveries;
  pieces = in.slices();
  if (in.size() < leave) return;
  std::string bytes(in.size(), '\0');
  in.peek(bytes.data(), bytes.size());
  in.clear();
  got += bytes;
}

void Side::fill(net::ByteQueue& out, size_t room) {
  out.take(to_send, std::min(room, to_send.size()));
  if (to_send.empty() && close_when_given) transport->close(*close_when_given);
}

void Side::on_eof(bool authenticated) {
  const bool first = !eof && !end;
  CHECK(first);
  eof = authenticated;
}

void Side::on_end(net::EndReason why) {
  CHECK(!end.has_value());
  end = why;
  detail = transport->end_detail();
}

std::int64_t now_seconds() { return wall_now().count / 1'000'000; }
base::Micros wall_now() { return base::steady_clock().wall(); }

std::shared_ptr<const tls::ServerContext> server_context(const tls::ServerTlsOptions& options,
                                                         std::vector<std::string> alpn,
                                                         const tls::ServerContext* previous, tls::Findings* warnings,
                                                         std::string_view listener) {
  tls::Findings ignored;
  auto loaded = tls::ServerContext::load(
      options, {.listener = listener, .alpn = std::move(alpn), .previous = previous, .wall = wall_now()},
      warnings != nullptr ? *warnings : ignored);
  if (!loaded) FAIL(base::to_text(loaded.error()));
  return *loaded;
}

std::shared_ptr<const tls::ClientContext> client_context(const tls::ClientTlsOptions& options,
                                                         const std::vector<std::string>& alpn) {
  tls::Findings warnings;
  auto loaded = tls::ClientContext::load(options, alpn, wall_now(), warnings);
  if (!loaded) FAIL(base::to_text(loaded.error()));
  return *loaded;
}

const tls::CertificateFiles& localhost() {
  static const tls::CertificateFiles files = certs().make("localhost", {.names = {"localhost", "IP:127.0.0.1"}});
  return files;
}

tls::ServerTlsOptions server_options(std::vector<tls::CertificateFiles> certificates) {
  return {.certificates = std::move(certificates)};
}
tls::ClientTlsOptions client_options() { return {.ca = certs().ca()}; }

Rig::Rig(support::SimLoop& s, const RigOptions& options) : sim(s) {
  support::TransportPair pair = support::transport_pair(sim);
  wire = pair.wire;
  if (options.tear_to_server) wire->set_tear(support::Wire::From::a, options.tear_to_server);
  if (options.tear_to_client) wire->set_tear(support::Wire::From::b, options.tear_to_client);
  static const auto usual_server = server_context(server_options({localhost()}));
  static const auto usual_client = client_context(client_options());
  server.bind(tls::accept(sim.loop(), std::move(pair.b), options.server ? options.server : usual_server,
                          {options.timeout, &server_events}));
  client.bind(tls::connect(sim.loop(), std::move(pair.a), options.client ? options.client : usual_client, options.name,
                           options.sessions, {options.timeout, &client_events}));
}

}  // namespace sluice::test
