#include "admin/admin.h"

#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "admin/guard.h"
#include "admin/gzip.h"
#include "admin/page.h"
#include "admin/query.h"
#include "base/check.h"
#include "base/list.h"
#include "base/log.h"
#include "base/log_event.h"
#include "base/text.h"
#include "config/value.h"
#include "net/timer.h"

namespace sluice::admin {
namespace {

// What is asked for by name (RFC 9110 12.5.1); else the page decides.
Form form_of(const http::Head& head) {
  const http::Field* const accept = head.fields.find("accept");
  const auto asks = [accept](std::string_view type) {
    return accept != nullptr && accept->value().find(type) != std::string_view::npos;
  };
  if (asks("text/event-stream")) return Form::events;
  if (asks("application/openmetrics-text")) return Form::openmetrics;
  return asks("application/json") ? Form::json : asks("text/plain") ? Form::text : Form::other;
}

Page text_page(int status, std::string body) { return {status, "text/plain; charset=utf-8", std::move(body)}; }

// What all requests of the listener share.
struct Hall {
  net::Loop& loop;
  Backend& backend;
  base::Millis event_every;
  size_t streams = 0;  // open ones: AdminServer::streams_max
};

// One admin request. Kept alive by its connection and, while a page is being made, by the page's callback.
class Request final : public http::Sink {
 public:
  Request(Hall& hall, http::Stream& stream) : hall_(hall), backend_(hall.backend), stream_(&stream) {}
  void know(const std::shared_ptr<Request>& self) { self_ = self; }
  bool open() const { return stream_ != nullptr; }
  // Its connection goes: the page, if one is being made, is for nobody.
  void leave() {
    stream_ = nullptr;
    tick_timer_.disarm();
    if (std::exchange(streams_, false)) --hall_.streams;
  }

 private:
  void on_head(http::Head& head, http::End) override {
    method_ = head.method;
    form_ = form_of(head);
    const http::Field* const encodings = head.fields.find("accept-encoding");
    packs_ = encodings != nullptr && takes_gzip(encodings->value());
    if (const std::string_view why = refusal(head, stream_->peer().remote, backend_.hosts()); !why.empty()) {
      return answer(text_page(403, "403: " + std::string(why) + "\n"));
    }
    open(head.target, head.path());
  }

  // A page, or something to do. HEAD is answered as GET without the body.
  struct Door {
    http::Method method;                           // GET or POST
    std::string_view path;
    void (Request::*open)(const Query& query);
    std::span<const std::string_view> query{};     // the names that it knows
  };
  static std::span<const Door> doors();

  void open(std::string_view target, std::string_view path) {
    const http::Method method = method_ == http::Method::head ? http::Method::get : method_;
    bool known = false;
    for (const Door& door : doors()) {
      if (door.path != path) continue;
      known = true;
      allowed_ = door.method;
      if (door.method != method) continue;
      const auto query = Query::read(target, door.query);
      if (!query) return answer(text_page(400, "400: " + query.error() + "\n"));
      return (this->*door.open)(*query);
    }
    if (const auto order = endpoint_order(path)) {
      known = true;
      allowed_ = http::Method::post;
      if (method == http::Method::post) return switch_endpoint(target, *order);
    }
    if (known) return answer(text_page(405, "405: this path is for " + std::string(allow()) + "\n"));
    answer(text_page(404, "404: try" + all_doors() + "\n"));
  }

  std::string_view allow() const { return allowed_ == http::Method::post ? "POST" : "GET, HEAD"; }

  static std::string all_doors() {
    std::string text;
    for (const Door& door : doors()) {
      text += door.method == http::Method::post ? " POST " : " ";
      text += door.path;
    }
    return text + " POST /upstreams/NAME/endpoints/ENDPOINT/disable POST .../enable";
  }

  // Names are taken as sent: that of an endpoint may hold slashes ("unix:/run/app.sock").
  static std::optional<EndpointOrder> endpoint_order(std::string_view path) {
    constexpr std::string_view before = "/upstreams/", between = "/endpoints/";
    const bool disable = path.ends_with("/disable");
    if (!path.starts_with(before) || !(disable || path.ends_with("/enable"))) return std::nullopt;
    const std::string_view names = path.substr(0, path.rfind('/')).substr(before.size());
    const size_t at = names.find(between);
    if (at == std::string_view::npos) return std::nullopt;
    return EndpointOrder{names.substr(0, at), names.substr(at + between.size()), disable};
  }
  void switch_endpoint(std::string_view target, const EndpointOrder& order) {
    const auto query = Query::read(target, {});
    if (!query) return answer(text_page(400, "400: " + query.error() + "\n"));
    backend_.switch_endpoint(order, later());
  }

  void healthz(const Query&) { answer(text_page(200, "ok\n")); }
  // The figures are in it as text: who runs no script reads them, too.
  void page(const Query&) {
    backend_.status(Form::text, Query(), [self = self_.lock()](const Page& text) {
      self->answer_packed({200, "text/html; charset=utf-8", status_page(text.body), "", page_policy});
    });
  }
  void metrics(const Query&) { backend_.metrics(form_, later()); }
  void status(const Query& query) {
    if (form_ == Form::events) return begin_events(query);
    backend_.status(form_ == Form::other ? Form::json : form_, query, later());
  }
  void log_level(const Query& query) { answer(backend_.set_log_level(query)); }
  void config(const Query&) { backend_.config(later()); }
  void advice(const Query&) { backend_.advice(form_ == Form::other ? Form::text : form_, later()); }
  void recent(const Query& query) { backend_.recent(form_ == Form::other ? Form::text : form_, query, later()); }
  template <Debug what>
  void debug(const Query& query) {
    backend_.debug(what, query, later());
  }
  void reload(const Query& query) {
    const auto text = query.value("confirm");
    if (!text) return backend_.reload(std::nullopt, later());
    const auto span = config::parse_duration(*text);
    if (!span || *span < AdminServer::confirm_least || *span > AdminServer::confirm_most)
      return answer(text_page(400, "400: confirm is a time of 1s to 1h: POST /reload?confirm=60s\n"));
    backend_.reload(span, later());
  }
  void confirm(const Query&) { answer(backend_.confirm()); }
  void drain(const Query&) {
    backend_.drain();
    answer(text_page(200, "draining\n"));
  }
  void deregister(const Query&) { backend_.deregister(later()); }
  void register_again(const Query&) { backend_.register_again(later()); }
  void readyz(const Query&) {
    const Readiness now = backend_.ready();
    answer(now.ready ? text_page(200, "ready\n") : text_page(503, now.reason + "\n"));
  }

  Backend::Done later() {
    return [self = self_.lock()](Page page) { self->answer_packed(std::move(page)); };
  }

  void answer_packed(Page page) {
    if (!packs_ || page.body.size() < gzip_least || stream_ == nullptr) return answer(std::move(page));
    backend_.pack(std::move(page), [self = self_.lock()](Page packed) { self->answer(std::move(packed)); });
  }

  void answer(Page page) {
    if (stream_ == nullptr || answered_) return;  // the client left while the page was made
    answered_ = true;
    http::Head head(stream_->arena());
    head.status = static_cast<uint16_t>(page.status);
    head.content_length = page.body.size();
    head.fields.add(http::Token::content_type, stream_->arena().copy(page.type));
    head.fields.add("cache-control", "no-store");
    head.fields.add("x-content-type-options", "nosniff");
    head.fields.add("vary", "accept, accept-encoding");
    if (!page.policy.empty()) head.fields.add("content-security-policy", page.policy);
    if (!page.encoding.empty()) head.fields.add("content-encoding", stream_->arena().copy(page.encoding));
    if (page.status == 405) head.fields.add("allow", allow());  // RFC 9110 15.5.6
    if (method_ == http::Method::head || page.body.empty()) return stream_->send_head(head, http::End::yes);
    stream_->send_head(head, http::End::no);
    body_ = std::move(page.body);
    send_piece();
  }

  // The scrape of a large configuration has tens of megabytes: all of it at once would hold up every probe.
  void send_piece() {
    const std::string_view piece = std::string_view(body_).substr(given_, piece_most);
    given_ += piece.size();
    net::ByteQueue bytes;
    bytes.append_copy(piece);
    const bool last = given_ == body_.size() && !streams_;
    stream_->send_body(std::move(bytes), last ? http::End::yes : http::End::no);
  }

  // ---- Server-Sent Events: /status once a second, until the client leaves, reads too slowly, or the process ends

  void begin_events(const Query& query) {
    if (method_ == http::Method::head) return answer({200, events_type, "", ""});
    if (hall_.streams >= AdminServer::streams_max)
      return answer(text_page(503, "503: " + std::to_string(AdminServer::streams_max) + " event streams are open\n"));
    streams_ = true;
    ++hall_.streams;
    query_ = query;
    next_event();
  }
  void next_event() {
    tick_timer_.arm(hall_.loop, hall_.event_every);
    if (answered_ && given_ - sent_ > 0) return late();
    missed_ = 0;
    backend_.status(Form::json, *query_, [self = self_.lock()](const Page& page) { self->event(page); });
  }
  // It has not read the last one yet.
  void late() {
    if (++missed_ < AdminServer::events_missed_most) return;
    http::Stream* const stream = stream_;
    leave();
    stream->cancel({http::Kind::request_timeout, http::Where::downstream, http::Detail::slow_read, false});
  }
  void event(const Page& page) {
    if (stream_ == nullptr) return;
    if (page.status != 200) return refuse_events(page);
    if (!answered_) send_events_head();
    body_ = "data: " + page.body.substr(0, page.body.find('\n')) + "\n\n";
    given_ = sent_ = 0;
    send_piece();
  }
  void refuse_events(const Page& page) {
    tick_timer_.disarm();
    streams_ = false;
    --hall_.streams;
    if (!answered_) return answer(page);
    body_.clear();  // what was asked for is no more: an upstream has left the configuration
    given_ = 0;
    send_piece();
  }
  void send_events_head() {
    answered_ = true;
    http::Head head(stream_->arena());
    head.status = 200;
    head.fields.add(http::Token::content_type, events_type);
    head.fields.add("cache-control", "no-store");
    head.fields.add("x-content-type-options", "nosniff");
    stream_->send_head(head, http::End::no);
  }

  void on_body(net::ByteQueue&& bytes, http::End) override {
    if (!bytes.empty()) stream_->consume(bytes.size());  // no page takes a body
  }
  void on_trailers(http::Fields&) override {}
  void on_sent(size_t bytes) override {
    sent_ += bytes;
    if (stream_ != nullptr && given_ < body_.size() && given_ - sent_ < piece_most) send_piece();
  }
  void on_malformed(http::Head&, const http::Failure& why) override {
    const int status = http::status_of(why.kind);
    answer(text_page(status, std::to_string(status) + ": " + std::string(http::detail_word(why.detail)) + "\n"));
  }
  void on_closed(const http::Failure&) override { leave(); }

  static constexpr const char* events_type = "text/event-stream";
  Hall& hall_;  // while stream_ is there
  Backend& backend_;
  http::Stream* stream_;
  std::weak_ptr<Request> self_;
  http::Method method_ = http::Method::get;
  Form form_ = Form::other;
  bool packs_ = false;  // the client takes gzip
  http::Method allowed_ = http::Method::get;  // what the path is for, if there is one
  bool answered_ = false;
  static constexpr size_t piece_most = 256 << 10;
  std::string body_;  // of the answer
  size_t given_ = 0;  // of it to the stream,
  size_t sent_ = 0;  // and by the stream to the kernel
  net::Timer tick_timer_{this, net::timer_call<&Request::next_event>};
  std::optional<Query> query_;  // of an event stream
  bool streams_ = false;  // it is one
  uint32_t missed_ = 0;  // events, as it has not read the one before
};

std::span<const Request::Door> Request::doors() {
  using enum http::Method;
  static constexpr std::string_view rows[] = {"limit", "after", "older", "worker"};
  static constexpr std::string_view recent_filters[] = {"id",     "client", "conn",     "route", "upstream", "endpoint",
                                                        "status", "reason", "ended_by", "ended", "limit",    "kept_as"};
  static constexpr std::string_view status_query[] = {"part", "upstream", "now"};
  static constexpr std::string_view log_query[] = {"level", "for"};
  static constexpr std::string_view reload_query[] = {"confirm"};
  static constexpr Door all[] = {
      {get, "/", &Request::page},
      {get, "/status", &Request::status, status_query},
      {get, "/metrics", &Request::metrics},
      {get, "/healthz", &Request::healthz},
      {get, "/readyz", &Request::readyz},
      {get, "/config", &Request::config},
      {get, "/advice", &Request::advice},
      {get, "/recent", &Request::recent, recent_filters},
      {get, "/debug/connections", &Request::debug<Debug::connections>, rows},
      {get, "/debug/requests", &Request::debug<Debug::requests>, rows},
      {get, "/debug/waiting", &Request::debug<Debug::waiting>, rows},
      {post, "/drain", &Request::drain},
      {post, "/reload", &Request::reload, reload_query},
      {post, "/log-level", &Request::log_level, log_query},
      {post, "/confirm", &Request::confirm},
      {post, "/deregister", &Request::deregister},
      {post, "/register", &Request::register_again},
  };
  return all;
}

}  // namespace

class AdminServer::Impl final : public net::Listener::Host {
 public:
  Impl(net::Loop& loop, net::Fd socket, SessionMaker make_session, Backend& backend, base::Millis event_every)
      : loop_(loop),
        make_session_(make_session),
        hall_{loop, backend, event_every},
        listener_(loop, std::move(socket), *this, net::Takes::kept_ones_too) {}
  ~Impl() {
    while (AdminClient* c = connections_.front()) drop(*c);
  }

 private:
  // One client of the admin listener.
  struct AdminClient final : http::ServerHost, base::ListHook<> {
    explicit AdminClient(Impl& owner) : impl(owner) {}
    ~AdminClient() {
      for (const auto& request : requests) request->leave();
    }
    http::Sink& on_stream(http::ServerSession&, http::Stream& stream) override {
      std::erase_if(requests, [](const auto& request) { return !request->open(); });
      requests.push_back(std::make_shared<Request>(impl.hall_, stream));
      requests.back()->know(requests.back());
      return *requests.back();
    }
    void on_session_end(http::ServerSession&, http::CloseCause) override { impl.drop(*this); }
    void on_protocol_error(http::Detail) override {}
    Impl& impl;
    std::vector<std::shared_ptr<Request>> requests;  // open ones, and those that have ended since
    http::ServerSessionPtr session;
  };

  void on_accept(net::TransportPtr transport) override {
    if (count_ >= connections_max) drop(*connections_.front());
    auto connection = std::make_unique<AdminClient>(*this);
    connection->session = make_session_(loop_, std::move(transport), options_, *connection);
    connections_.push_back(*connection);
    owned_.push_back(std::move(connection));
    ++count_;
  }

  void on_accept_error(int error) override {
    static base::LogSite site;
    if (site.admit())
      base::log_event(base::LogLevel::error, "accept_failed", {{"listener", "admin"}, {"why", std::strerror(error)}});
  }

  void drop(AdminClient& connection) {
    std::erase_if(owned_, [&](const auto& c) { return c.get() == &connection; });
    --count_;
  }

  net::Loop& loop_;
  SessionMaker make_session_;
  Hall hall_;
  http::DownstreamOptions options_;
  base::List<AdminClient> connections_;
  std::vector<std::unique_ptr<AdminClient>> owned_;
  size_t count_ = 0;
  net::Listener listener_;
};

AdminServer::AdminServer(net::Loop& loop, net::Fd socket, SessionMaker make_session, Backend& backend,
                         base::Millis event_every)
    : impl_(std::make_unique<Impl>(loop, std::move(socket), make_session, backend, event_every)) {}

AdminServer::~AdminServer() = default;

}  // namespace sluice::admin
