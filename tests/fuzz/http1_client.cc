// The HTTP/1 client session against any answer. The first byte seeds the tearing, the second chooses the request and
// what its sink does. Held: the contract of upcalls; the same events torn or whole; everything ends; and what was
// accepted as an answer is, as we write it to a client, exactly that one answer again; and its head holds no more than
// a few times its bytes.
#include <cstdint>
#include <string>

#include "../unit/http1/bench.h"
#include "base/check.h"
#include "http1/writer.h"
#include "support/held.h"

using namespace sluice;

namespace {

enum class Mode : uint8_t { get, head, upgrade, hold, cancel };

void check_forwarded(const support::ProbeSink& s, http::Method method) {
  if (s.trace.find("\ntrailers ") != std::string::npos || s.head->status < 200) return;
  const bool bodiless = method == http::Method::head || s.head->status == 204 || s.head->status == 304;
  http1::Message message;
  if (!bodiless)
    message = {s.head->content_length ? http1::Framing::length : http1::Framing::chunked,
               s.head->content_length.value_or(0)};
  net::ByteQueue wire;
  http1::write_response_head(*s.head, message, {}, wire);
  http1::BodyWriter body;
  body.start(message);
  net::ByteQueue bytes;
  bytes.append_copy(s.body);
  CHECK(!bodiless || bytes.empty());
  body.add(std::move(bytes), http1::BodyWriter::Last::yes);
  while (!body.done()) body.fill(wire, 1 << 20);
  std::string text(wire.size(), '\0');
  wire.peek(text.data(), text.size());

  http::HttpLimits limits{1 << 20, 1 << 20, 1000, http::UnderscoreHeaders::pass};
  http1::ClientBench again(limits);
  support::ProbeSink sink(again.contract);
  uint16_t status = 0;
  size_t fields = 0;
  sink.when_head = [&](support::ProbeSink& seen) {
    status = seen.head->status;
    fields = seen.head->fields.size();
    for (uint32_t i = 0; i < seen.head->fields.size() && i < s.head->fields.size(); ++i) {
      CHECK(seen.head->fields[i].name() == s.head->fields[i].name() &&
            seen.head->fields[i].value() == s.head->fields[i].value());
    }
  };
  CHECK(again.ask(sink, method == http::Method::head ? "HEAD" : "GET"));
  again.answer(text);
  CHECK(sink.closed && sink.why.clean());
  CHECK(status == s.head->status && fields == s.head->fields.size() && sink.body == s.body);
  CHECK(again.host.session != nullptr && again.host.session->slots() == 1);
}

std::string run(const std::string& bytes, support::Tear tear, Mode mode, bool check) {
  std::string trace;
  {
    http1::ClientBench b;
    b.pair.peer->tear(std::move(tear));
    support::ProbeSink sink(b.contract);
    sink.hold = mode == Mode::hold;
    const http::Method method = mode == Mode::head ? http::Method::head : http::Method::get;
    if (mode == Mode::cancel) sink.when_body = [](support::ProbeSink& s) { s.cancel({}); };
    sink.when_ended = [&](support::ProbeSink& s) {
      CHECK(s.stream->arena().bytes_held() <= support::held_max(bytes.size()));
      if (check) check_forwarded(s, method);
      if (s.head->status == 101) s.send_body("bye", http::End::yes);
    };
    CHECK(b.ask(sink, mode == Mode::head ? "HEAD" : "GET", mode == Mode::upgrade ? "websocket" : ""));
    b.answer(bytes);
    if (sink.stream != nullptr) CHECK(sink.stream->arena().bytes_held() <= support::held_max(bytes.size()));
    b.pair.peer->fin();
    b.sim.settle();
    if (sink.stream != nullptr) sink.cancel({});
    b.sim.run_for(base::minutes(3));
    CHECK(b.contract.text().empty());
    CHECK(b.host.ended);
    CHECK(sink.stream == nullptr);
    trace = sink.trace;
  }
  CHECK(http1::client_streams_live() == 0 && http1::client_sessions_live() == 0);
  return trace;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const auto mode = static_cast<Mode>(data[1] % 5);
  const std::string bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::string whole = run(bytes, support::tear_nowhere(), mode, true);
  const std::string torn =
      run(bytes, data[0] == 0 ? support::tear_every(1) : support::tear_randomly(data[0]), mode, false);
  if (mode != Mode::cancel) CHECK(whole == torn);
  return 0;
}
