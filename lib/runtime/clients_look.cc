// What a worker says to GET /debug/...: rows of its clients and their requests, out of their own mouths.
#include <algorithm>

#include "base/check.h"
#include "exchange/exchange.h"
#include "runtime/acceptor.h"
#include "runtime/clients.h"

namespace sluice::runtime {
namespace {

std::string cut(std::string_view text) {
  if (text.size() <= Looked::text_max) return std::string(text);
  return std::string(text.substr(0, Looked::text_max)) + "...";
}

// What is unique may be some microseconds ahead of the clock.
base::Micros age(const RolledClient& client, base::Micros now) {
  return std::max(now - client.came(), base::Micros{0});
}

RequestLook row_of(const exchange::Look& look, base::Micros now) {
  RequestLook row{.listener = std::string(look.listener), .age = now - look.began};
  row.client = cut(look.client);
  row.request_id = cut(look.request_id);
  row.method = cut(look.method);
  row.host = cut(look.host);
  row.path = cut(look.path);
  row.route = look.route;
  row.upstream = look.upstream;
  row.endpoint = look.endpoint;
  row.phase = look.phase;
  row.phase_age = now - look.since;
  row.silent = now - look.moved;
  row.bytes_in = look.bytes_in;
  row.bytes_out = look.bytes_out;
  row.attempts = look.attempts;
  row.status = look.status;
  row.waits = look.wait.has_value();
  if (row.waits) {
    row.waits_for = look.wait->waits_for;
    row.left = look.wait->left;
  }
  return row;
}

// The requests of one client that are asked for.
class Requests final : public http::SinkVisitor {
 public:
  Requests(const Question& question, Looked& to, Client& client, Place place, base::Micros now)
      : question_(question), to_(to), client_(client), place_(place), now_(now) {}
  // False: the page is full, and there is more.
  bool collect() {
    client_.show_sinks(*this);
    return !full_;
  }

 private:
  // Every sink of a client's session is an exchange: Acceptor::begin_exchange() made it.
  bool visit(uint32_t number, http::Sink& sink) override {
    place_.request = number;
    if (place_ <= question_.after) return true;
    full_ = to_.requests.size() == question_.limit;
    if (full_) return false;
    const exchange::Look look = static_cast<const exchange::Exchange&>(sink).look();
    const bool asked = question_.subject == Subject::requests || look.wait.has_value();
    if (!asked || now_ - look.began < question_.older) return true;
    RequestLook& row = to_.requests.emplace_back(row_of(look, now_));
    row.place = place_;
    row.conn = client_.conn();
    row.peer = client_.peer().remote.text();
    row.protocol = client_.look_at_session().protocol;
    return true;
  }

  const Question& question_;
  Looked& to_;
  Client& client_;
  Place place_;
  base::Micros now_;
  bool full_ = false;
};

Holding holding_of(exchange::Sort sort) {
  switch (sort) {
    case exchange::Sort::request: return Holding::request;
    case exchange::Sort::websocket: return Holding::websocket;
    case exchange::Sort::event_stream: return Holding::event_stream;
    case exchange::Sort::grpc_stream: return Holding::grpc_stream;
    case exchange::Sort::tunnel: return Holding::tunnel;
  }
  UNREACHABLE();
}

// The requests of one client, as what a drain waits for.
class HeldRequests final : public http::SinkVisitor {
 public:
  HeldRequests(Holders& to, const Client& client, base::Micros now) : to_(to), client_(client), now_(now) {}

 private:
  bool visit(uint32_t, http::Sink& sink) override {
    const exchange::Look look = static_cast<const exchange::Exchange&>(sink).look();
    const Holding kind = holding_of(look.sort);
    ++to_.counts[static_cast<size_t>(kind)];
    // Clients come by age: these are about the oldest.
    if (to_.oldest.size() >= Holders::told_most) return true;
    to_.oldest.push_back(
        {kind, client_.peer().remote.text(), cut(look.route), cut(look.path), cut(look.request_id), now_ - look.began});
    return true;
  }

  Holders& to_;
  const Client& client_;
  base::Micros now_;
};

}  // namespace

ConnectionLook Client::look(base::Micros now) {
  const http::SessionLook stage = look_at_session();
  ConnectionLook row{.listener = listening_->options.name, .peer = peer().remote.text(), .sni = cut(peer().sni)};
  row.conn = conn_;
  row.tls = listening_->tls != nullptr;
  row.protocol = stage.protocol;
  row.phase = stage.phase;
  row.age = runtime::age(*this, now);
  row.phase_age = now - stage.since;
  row.requests = stage.requests;
  if (auto* const at_work = session()) row.streams = at_work->open_streams();
  return row;
}

// Before there is one: since it was let in, the phase in which it is.
http::SessionLook Client::look_at_session() {
  if (auto* const at_work = session()) return at_work->look();
  const base::Micros since = in_stage_since();
  if (stage() == ClientStage::waiting) return {"", "awaiting_place", since};
  if (std::holds_alternative<net::Owned<net::ProxyReader>>(station_)) return {"", "proxy_header", since};
  if (std::holds_alternative<net::Owned<FirstBytes>>(station_)) return {"", "first_bytes", since};
  return {"", "tls_handshake", since};
}

const std::string& Client::listener() const { return listening_->options.name; }

const http::DownstreamOptions& Client::accepted_under() const { return listening_->options.downstream; }

const http::DownstreamOptions& Client::in_force() const { return acceptor_.in_force(); }

void Client::show_sinks(http::SinkVisitor& to) {
  if (auto* const at_work = session()) at_work->show_sinks(to);
}

const net::Peer& Client::peer() const {
  return std::visit([](const auto& one) -> const net::Peer& { return one->peer(); }, station_);
}

Holders Clients::holders() {
  Holders all;
  uint32_t steps = Looked::clients_max;
  auto* client = static_cast<Client*>(roll_.find(base::Micros{0}, steps));
  for (; client != nullptr && steps > 0; --steps) {
    HeldRequests requests(all, *client, loop_.now());
    if (client->streams() == 0) ++all.counts[static_cast<size_t>(Holding::idle)];
    client->show_sinks(requests);
    client = static_cast<Client*>(roll_.next(*client));
  }
  all.whole = client == nullptr;
  return all;
}

Looked Clients::look(const Question& question) {
  Looked looked;
  const base::Micros now = loop_.now();
  uint32_t steps = Looked::clients_max;
  auto* client = static_cast<Client*>(roll_.find(question.after.came, steps));
  for (; client != nullptr && steps > 0 && looked.rows() < question.limit; --steps) {
    if (age(*client, now) < question.older) {  // and so is all behind it
      client = nullptr;
      break;
    }
    roll_.mark(*client);
    const Place place{client->came(), worker_, 0};
    if (question.subject != Subject::connections) {
      if (!Requests(question, looked, *client, place, now).collect()) break;
    } else if (place > question.after) {
      looked.connections.emplace_back(client->look(now)).place = place;
    }
    looked.reached = {client->came(), worker_, UINT32_MAX};
    client = static_cast<Client*>(roll_.next(*client));
  }
  looked.whole = client == nullptr;
  return looked;
}

}  // namespace sluice::runtime
