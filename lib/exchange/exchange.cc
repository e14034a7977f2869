// The client's side of an exchange: from the head to a route, and what is answered without an upstream.
// The upstream's side is in relay.cc.
#include "exchange/exchange.h"

#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "exchange/admission.h"
#include "exchange/held_watch.h"
#include "exchange/local_reply.h"
#include "http/grpc.h"
#include "http/validate.h"
#include "route/rewrite.h"

namespace sluice::exchange {
namespace {

using http::Detail;
using http::Failure;
using http::Kind;
using http::Where;

constexpr Failure refused(Kind kind, Detail detail = Detail::none) { return {kind, Where::downstream, detail, true}; }

// Who comes later need not meet it.
bool is_about_the_queue(Kind kind) {
  return kind == Kind::pool_timeout || kind == Kind::pool_full || kind == Kind::circuit_open;
}

}  // namespace

Exchange::Exchange(Home& home, Env& env, Site& site, const Origin& origin, http::Stream& downstream)
    : home_(home),
      env_(env),
      site_(site),
      downstream_(&downstream),
      deadlines_(env.loop, *this),
      record_(env.loop.now(), env.loop.lateness()),
      last_byte_(record_.began()),
      origin_(origin),
      listener_(origin.listener) {
  site_.ref();
  env_.held.add(*this);
}

Exchange::~Exchange() { site_.unref(); }

// ---- the head ---------------------------------------------------------------------------------------------------

void Exchange::on_head(http::Head& head, http::End end) {
  head_ = &head;
  grpc_ = http::is_grpc(head.fields);
  note_headers(LoggedHeader::Of::request, head.fields);
  identify_client();
  // A request that asks for an upgrade has no body (threats.md row 16): it is whole, unless a 101 opens a tunnel.
  request_ended_ = end == http::End::yes || !head.upgrade.empty();
  if (answer_health()) return;
  if (const Failure why = refuse_by_head(); !why.clean()) return fail(why);
  if (answer_max_forwards()) return;
  take_route();
}

void Exchange::identify_client() {
  const net::Peer& peer = downstream_->peer();
  const ListenerSite& listener = site_.listeners[listener_];
  client_ = find_client(peer.remote, listener.trusted_proxies, listener.forwarded_by, head_->fields);
  if (client_.unknown) env_.meter.protocol_error(Where::downstream, Detail::forwarded);
  base::Arena& arena = downstream_->arena();
  if (client_.address.is_ip()) {
    client_text_ = client_.address.ip_text({arena.make_array<char>(46), 46});
  } else {
    client_text_ = client_.unknown ? "unknown" : "unix:";
  }
}

// A balancer asks on the port of the traffic. The path as sent: what is written otherwise is routed.
bool Exchange::answer_health() {
  const std::string& path = site_.listeners[listener_].health_path;
  if (path.empty() || head_->path() != path) return false;
  if (head_->method != http::Method::get && head_->method != http::Method::head) return false;
  about_health_ = true;
  env_.meter.health_asked();
  const Standing standing = env_.standing.load(std::memory_order_relaxed);
  Reply reply;
  reply.status = standing == Standing::ready ? 200 : 503;
  reply.body = standing == Standing::ready ? "ok\n" : downstream_->arena().concat(standing_word(standing), "\n");
  http::Head answer(downstream_->arena());
  answer.fields.add("cache-control", "no-store");
  reply_with(reply, answer);
  return true;
}

// What no route can change. RFC 9110 10.1.1: an expectation that is not known is answered 417.
Failure Exchange::refuse_by_head() const {
  if (head_->method == http::Method::connect) return refused(Kind::method_not_allowed);
  if (head_->fields.has(http::Token::expect) && head_->version != http::Version::http_10)
    return refused(Kind::expectation);
  if (is_loop(head_->fields, env_.pseudonym)) return refused(Kind::loop);
  const net::Peer& peer = downstream_->peer();
  if (peer.tls && !peer.sni.empty() && peer.certificate_covers != nullptr) {
    std::string_view host = http::without_port(head_->authority);
    if (host.ends_with('.')) host.remove_suffix(1);
    if (!base::iequals(host, peer.sni) && !peer.certificate_covers(peer.certificate, host))
      return refused(Kind::misdirected);
  }
  return {};
}

// RFC 9110 7.6.2: TRACE and OPTIONS with Max-Forwards 0 end here; else it counts down.
bool Exchange::answer_max_forwards() {
  if (head_->method != http::Method::trace && head_->method != http::Method::options) return false;
  const http::Field* field = head_->fields.find(http::Token::max_forwards);
  if (field == nullptr) return false;
  const auto hops = base::parse_u64(field->value());
  if (!hops) {
    fail(refused(Kind::bad_request, Detail::field));
    return true;
  }
  if (*hops == 0) {
    if (head_->method == http::Method::trace) {
      fail(refused(Kind::method_not_allowed));
      return true;
    }
    Reply reply;
    http::Head answer(downstream_->arena());
    answer.fields.add("allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
    reply_with(reply, answer);
    return true;
  }
  char digits[20];
  uint64_t rest = *hops - 1;
  size_t at = sizeof digits;
  do {
    digits[--at] = static_cast<char>('0' + rest % 10);
    rest /= 10;
  } while (rest != 0);
  head_->fields.set(http::Token::max_forwards, downstream_->arena().copy({digits + at, sizeof digits - at}));
  return false;
}

void Exchange::take_route() {
  const route::Query query{listener_,        head_->method, head_->method_text,
                           head_->authority, head_->target, &head_->fields};
  const route::Match match = site_.router.match(query, downstream_->arena());
  if (match.ambiguous) return fail(refused(Kind::bad_request, Detail::path));
  if (match.route == nullptr) return fail(refused(Kind::no_route));
  route_ = match.route;
  route_index_ = match.index;
  cells_ = &site_.route(route_index_);
  cells_->in_flight->add(1);
  counted_in_flight_ = true;
  normal_path_ = match.path;
  if (sheds()) return fail({Kind::overloaded, Where::proxy, Detail::none, true});
  if (!is_admitted(client_, options().deny, options().allow)) return fail(refused(Kind::denied));
  if (!take_place()) return fail({Kind::rate_limited, Where::proxy, Detail::none, true});
  if (!pay_rate()) return fail(refused(Kind::rate_limited));
  if (options().max_body != 0 && head_->content_length.value_or(0) > options().max_body)
    return fail(refused(Kind::body_too_large));
  switch (options().action) {
    case route::Action::redirect: return redirect();
    case route::Action::respond: return respond();
    case route::Action::proxy: return proxy();
  }
}

// ---- the client's body, and its end -----------------------------------------------------------------------------

void Exchange::on_body(net::ByteQueue&& bytes, http::End end) {
  moved();
  bytes_in_ += bytes.size();
  const bool to_upstream = cluster_ != nullptr && (answer_ != Answer::ended || tunnel_);
  if (!to_upstream) {                         // answered already: what still comes is dropped (threats.md row 31)
    if (!bytes.empty()) downstream_->consume(bytes.size());
    request_ended_ = request_ended_ || end == http::End::yes;
    return;
  }
  if (!tunnel_ && options().max_body != 0 && bytes_in_ > options().max_body) {
    const size_t over = bytes.size();
    fail(refused(Kind::body_too_large));
    if (downstream_ != nullptr) downstream_->consume(over);
    return;
  }
  request_body(std::move(bytes), end);
}

void Exchange::on_trailers(http::Fields& trailers) {
  moved();
  if (cluster_ == nullptr || answer_ == Answer::ended) {
    request_ended_ = true;
    return;
  }
  route::edit_trailers(trailers, options().request_headers);
  if (trailers.empty()) return request_body({}, http::End::yes);
  trailers_ = &trailers;
  if (attempt_.stream() != nullptr) attempt_.stream()->send_trailers(trailers);
  request_ended();
  if (held_back_) send_now();
}

void Exchange::on_malformed(http::Head& head, const Failure& why) {
  pass();
  if (head_ == nullptr) {
    head_ = &head;
    grpc_ = http::is_grpc(head.fields);
    identify_client();
  }
  request_ended_ = true;                      // nothing more of it will come
  fail(why);
}

void Exchange::on_sent(size_t bytes) {
  moved();
  bytes_out_ += bytes;
  taken_at_ = last_byte_;
  if (attempt_.stream() != nullptr) attempt_.stream()->consume(bytes);
}

void Exchange::on_closed(const Failure& why) {
  pass();
  downstream_closed_ = true;
  if (!why.clean()) client_left(why);
  finish();
}

void Exchange::on_half_closed() {
  half_closed_ = true;
  leave_if_queued();
}

// Before the head there is no other status to tell; after it the one that was sent stands.
void Exchange::client_left(const Failure& why) {
  went_wrong(why);
  if (answer_ == Answer::none) {
    status_ = http::status_of(why.kind);
    env_.meter.local_reply(why.kind);
  }
  // Was it us who ended its stream? Then the upstream's connection ends for the same cause.
  const bool ours = why.kind == Kind::request_timeout || why.kind == Kind::shutdown || why.kind == Kind::overloaded;
  attempt_.abandon(Failure{ours ? why.kind : Kind::client_closed, Where::downstream, why.detail, false});
}

// A half-closed client is taken to have left while its request waits for a connection: others wait, and the origin has
// not heard of it (threats.md row 59). A connect that is under way for it costs nobody a place: there half_close_grace
// rules.
void Exchange::leave_if_queued() {
  if (!half_closed_ || !attempt_.queued()) return;
  const Failure why{Kind::client_closed, Where::downstream, Detail::none, false};
  client_left(why);
  cut(why);
}

// ---- answers made here ------------------------------------------------------------------------------------------

// The one place where a request goes wrong: the try is undone, the client is told if that is still possible.
void Exchange::fail(const Failure& why) {
  if (!ask_spare(why)) fail_for_good(why);
}

void Exchange::fail_for_good(const Failure& why) {
  went_wrong(why);
  if (why.where == Where::downstream) env_.meter.protocol_error(Where::downstream, why.detail);
  deadlines_.clear_all();
  if (why.where == Where::downstream) downstream_->recalled();
  attempt_.abandon(why);
  held_body_.clear();
  held_back_ = false;
  if (answer_ == Answer::none) {
    reply_locally(why);
  } else {
    cut(why);
  }
}

void Exchange::reply_locally(const Failure& why) {
  refused_ = true;
  if (respond_instead(why)) return;
  if (fell_back_ != Kind::none) of_route().fallback.failed->add();
  env_.meter.local_reply(why.kind);
  Reply reply = reply_to(why);
  http::Head answer(downstream_->arena());
  answer.last = why.kind == Kind::bad_request;  // what is ambiguous may be followed by what is smuggled
  if (why.kind == Kind::rate_limited) {
    reply.retry_after = std::max(rate_wait_, 1U);
    if (rate_wait_ != 0) add_rate_fields(answer.fields, *of_route().rate.limiter, rate_wait_);
  }
  answer_ = Answer::ended;
  if (grpc_) {
    const http::GrpcStatus status = http::grpc_status_of(why.kind);
    grpc_status_ = static_cast<int16_t>(status);
    status_ = 200;
    return send_grpc_reply(*downstream_, status, reply, answer);
  }
  take_error_page(reply, answer);
  reply_with(reply, answer);
}

// Of the route, if it has one for this status, else of the listener.
void Exchange::take_error_page(Reply& reply, http::Head& answer) {
  const ErrorPages* const of_its_route = of_route().error_pages;
  const ErrorPages* const of_listener = site_.listeners[listener_].error_pages;
  const ErrorPage* page = of_its_route != nullptr ? of_its_route->find(reply.status) : nullptr;
  if (page == nullptr && of_listener != nullptr) page = of_listener->find(reply.status);
  if (page == nullptr) return;
  reply.body = page->body;
  reply.content_type = page->content_type;
  if (!page->body.empty()) reply.counted = &site_.bytes_of(*page);
  answer.fields.add("cache-control", "no-store");
}

Reply Exchange::reply_to(const Failure& why) const {
  Reply reply = reply_for(why.kind, downstream_->arena());
  if (is_about_the_queue(why.kind)) reply.retry_after = cluster_->retry_after();
  if (client_.peer == Trust::yes || downstream_->peer().remote.is_loopback())
    reply.reason = http::reason_word(why.kind);
  return reply;
}

// Whatever becomes of the answer, the request is not looked at again: a client that does not read holds little.
void Exchange::reply_with(const Reply& reply, http::Head& answer) {
  status_ = reply.status;
  answer_ = Answer::ended;
  note_headers(LoggedHeader::Of::response, answer.fields);
  send_reply(*downstream_, head_->method, reply, answer);
  release_request();
}

void Exchange::redirect() {
  base::Arena& arena = downstream_->arena();
  const route::RedirectFacts facts{head_->authority, normal_path_, head_->target};
  Reply reply;
  reply.status = options().redirect.status;
  reply.location = route::expand_redirect(options().redirect, facts, arena);
  reply.body = arena.concat(phrase_of(reply.status), "\n");
  http::Head answer(arena);
  route::edit(answer.fields, options().response_headers);
  reply_with(reply, answer);
}

void Exchange::respond() {
  Reply reply;
  reply.status = options().respond.status;
  reply.body = options().respond.body;
  http::Head answer(downstream_->arena());
  route::edit(answer.fields, options().response_headers);
  reply_with(reply, answer);
}

base::Micros Exchange::usual_duration() const { return quantile(*of_route().duration, 0.99, HeldWatch::samples_least); }

}  // namespace sluice::exchange
