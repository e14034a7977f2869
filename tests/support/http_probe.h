// Probes for sessions of any HTTP version: a Sink that writes down what it hears and checks the order of calls
// (http/stream.h), and the hosts of both sides. Whoever includes this links http.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/stream.h"

namespace sluice::support {

// Breaks of the contract, in words; empty is what a test wants.
class Contract {
 public:
  void broken(std::string_view what) { text_ += std::string(what) + "\n"; }
  const std::string& text() const { return text_; }
  // Sinks make downcalls through this, so that an upcall inside one is seen.
  template <class Call>
  void down(Call call) {
    ++depth_;
    call();
    --depth_;
  }
  void up() {
    if (depth_ != 0) broken("upcall inside a downcall");
  }

 private:
  std::string text_;
  int depth_ = 0;
};

inline std::string text_of(const http::Failure& why) {
  if (why.clean()) return "clean";
  std::string text(http::reason_word(why.kind));
  if (text.empty()) text = "kind" + std::to_string(static_cast<int>(why.kind));
  if (why.detail != http::Detail::none) text += " " + std::string(http::detail_word(why.detail));
  if (why.untouched) text += " untouched";
  return text;
}

class ProbeSink final : public http::Sink {
 public:
  explicit ProbeSink(Contract& contract) : contract_(contract) {}

  http::Stream* stream = nullptr;  // nullptr once closed or cancelled
  http::Head* head = nullptr;  // of the final head
  std::string body;
  std::string trace;  // everything in order, body bytes that follow each other as one
  size_t sent = 0;
  size_t unconsumed = 0;
  bool hold = false;  // give no credit back
  bool ended = false;  // the peer's direction
  bool half_closed = false;  // told so
  bool malformed = false;
  bool closed = false;
  http::Failure why{};
  std::function<void(ProbeSink&)> when_head;
  std::function<void(ProbeSink&)> when_body;
  std::function<void(ProbeSink&)> when_ended;  // the peer's message is whole
  std::function<void(ProbeSink&)> when_malformed;
  std::function<void(ProbeSink&)> when_sent;
  std::function<void(ProbeSink&)> when_closed;

  // Downcalls.
  void send_head(const http::Head& h, http::End end) {
    contract_.down([&] { stream->send_head(h, end); });
  }
  void send_body(std::string_view bytes, http::End end) {
    net::ByteQueue queue;
    queue.append_copy(bytes);
    contract_.down([&] { stream->send_body(std::move(queue), end); });
  }
  void send_trailers(const http::Fields& trailers) {
    contract_.down([&] { stream->send_trailers(trailers); });
  }
  void consume(size_t n) {
    unconsumed -= n;
    contract_.down([&] { stream->consume(n); });
  }
  void cancel(const http::Failure& failure) {
    http::Stream* const s = std::exchange(stream, nullptr);
    cancelled_ = true;
    trace_line("cancel");
    contract_.down([&] { s->cancel(failure); });
  }
  // A whole answer with a body of known length.
  void answer(uint16_t status, std::string_view text,
              std::initializer_list<std::pair<std::string_view, std::string_view>> fields = {}) {
    http::Head h(stream->arena());
    h.status = status;
    h.content_length = text.size();
    for (const auto& [name, value] : fields) h.fields.add(name, value);
    send_head(h, text.empty() ? http::End::yes : http::End::no);
    if (!text.empty()) send_body(text, http::End::yes);
  }

  // Upcalls.
  void on_head(http::Head& h, http::End end) override {
    up("on_head");
    if (final_head_) contract_.broken("second final head");
    const bool informational = h.status >= 100 && h.status < 200 && h.status != 101;
    if (informational && end == http::End::yes) contract_.broken("1xx with an end");
    final_head_ = !informational;
    head = &h;
    trace_head(h);
    if (end == http::End::yes) end_seen();
    if (when_head) when_head(*this);
    if (end == http::End::yes && when_ended && stream != nullptr) when_ended(*this);
  }
  void on_body(net::ByteQueue&& bytes, http::End end) override {
    up("on_body");
    if (!final_head_) contract_.broken("body before the head");
    if (bytes.empty() && end == http::End::no) contract_.broken("an empty body");
    std::string text(bytes.size(), '\0');
    bytes.peek(text.data(), text.size());
    body += text;
    const size_t n = text.size();
    unconsumed += n;
    if (n != 0) {
      if (!in_body_) trace += "body ";
      in_body_ = true;
      trace += text;
    }
    if (end == http::End::yes) end_seen();
    if (n != 0 && !hold && stream != nullptr) consume(n);
    if (when_body && stream != nullptr) when_body(*this);
    if (end == http::End::yes && when_ended && stream != nullptr) when_ended(*this);
  }
  void on_trailers(http::Fields& trailers) override {
    up("on_trailers");
    if (!final_head_) contract_.broken("trailers before the head");
    std::string line = "trailers";
    for (const http::Field& f : trailers) line += " [" + std::string(f.name()) + ": " + std::string(f.value()) + "]";
    trace_line(line);
    end_seen();
    if (when_ended) when_ended(*this);
  }
  void on_sent(size_t bytes) override {
    up("on_sent");
    if (bytes == 0) contract_.broken("on_sent(0)");
    sent += bytes;
    if (when_sent) when_sent(*this);
  }
  void on_malformed(http::Head& h, const http::Failure& failure) override {
    up("on_malformed");
    if (malformed) contract_.broken("malformed twice");
    if (failure.clean()) contract_.broken("malformed, but clean");
    malformed = true;
    head = &h;
    why = failure;
    trace_line("malformed " + text_of(failure));
    if (when_malformed) when_malformed(*this);
  }
  void on_half_closed() override {
    up("on_half_closed");
    half_closed = true;
  }
  void on_closed(const http::Failure& failure) override {
    up("on_closed");
    closed = true;
    if (!malformed || !failure.clean()) why = failure;
    stream = nullptr;
    trace_line("closed " + text_of(failure));
    if (when_closed) when_closed(*this);
  }

 private:
  void up(std::string_view what) {
    contract_.up();
    if (closed) contract_.broken(std::string(what) + " after on_closed");
    if (cancelled_) contract_.broken(std::string(what) + " after cancel");
    if (malformed && what != "on_closed" && what != "on_sent")
      contract_.broken(std::string(what) + " after on_malformed");
    if (ended && (what == "on_head" || what == "on_body" || what == "on_trailers"))
      contract_.broken(std::string(what) + " after the end");
  }
  void end_seen() {
    ended = true;
    trace_line("end");
  }
  void trace_line(std::string_view line) {
    if (std::exchange(in_body_, false)) trace += "\n";
    trace += std::string(line) + "\n";
  }
  void trace_head(const http::Head& h) {
    std::string line;
    if (h.status != 0) {
      line = "answer " + std::to_string(h.status);
    } else {
      line = "request " + std::string(h.method_text) + " " + std::string(h.scheme) + "://" + std::string(h.authority) +
             " " + std::string(h.target);
    }
    if (h.version == http::Version::http_10) line += " 1.0";
    if (h.content_length) line += " length=" + std::to_string(*h.content_length);
    if (!h.upgrade.empty()) line += " upgrade=" + std::string(h.upgrade);
    if (h.expect_continue) line += " expect";
    if (h.te_trailers) line += " te";
    for (const http::Field& f : h.fields) line += " [" + std::string(f.name()) + ": " + std::string(f.value()) + "]";
    trace_line(line);
  }

  Contract& contract_;
  bool final_head_ = false;
  bool cancelled_ = false;
  bool in_body_ = false;
};

class ProbeServerHost final : public http::ServerHost {
 public:
  explicit ProbeServerHost(Contract& contract) : contract_(contract) {}
  std::function<void(ProbeSink&)> prepare;  // a request begins: set its hooks
  http::ServerSessionPtr session;
  std::vector<std::unique_ptr<ProbeSink>> sinks;
  std::vector<http::Detail> protocol_errors;
  unsigned idle_told = 0;
  bool ended = false;
  http::CloseCause cause{};

  http::Sink& on_stream(http::ServerSession&, http::Stream& stream) override {
    contract_.up();
    if (ended) contract_.broken("on_stream after on_session_end");
    sinks.push_back(std::make_unique<ProbeSink>(contract_));
    sinks.back()->stream = &stream;
    if (prepare) prepare(*sinks.back());
    return *sinks.back();
  }
  void on_idle(http::ServerSession&) override {
    at_rest("on_idle");
    ++idle_told;
  }
  void on_leaving(http::ServerSession&) override { at_rest("on_leaving"); }
  void on_late_request(http::ServerSession&) override { ++late_requests; }
  unsigned late_requests = 0;
  void on_session_end(http::ServerSession&, http::CloseCause why) override {
    at_rest("on_session_end");
    ended = true;
    cause = why;
    session.reset();
  }
  void on_protocol_error(http::Detail detail) override { protocol_errors.push_back(detail); }

  std::string trace() const {
    std::string all;
    for (const auto& s : sinks) all += s->trace;
    return all;
  }

 private:
  void at_rest(const std::string& upcall) {
    contract_.up();
    if (ended) contract_.broken(upcall + " after on_session_end");
    for (const auto& s : sinks) {
      if (s->stream != nullptr) contract_.broken(upcall + " with an open stream");
    }
  }

  Contract& contract_;
};

class ProbeClientHost final : public http::ClientHost {
 public:
  explicit ProbeClientHost(Contract& contract) : contract_(contract) {}
  http::ClientSessionPtr session;
  std::vector<http::Detail> protocol_errors;
  unsigned slots_told = 0;
  bool ended = false;
  http::CloseCause cause{};
  std::function<void(http::ClientSession&)> when_slots;

  void on_slots(http::ClientSession& s) override {
    contract_.up();
    if (ended) contract_.broken("on_slots after on_session_end");
    ++slots_told;
    if (when_slots) when_slots(s);
  }
  void on_session_end(http::ClientSession& s, http::CloseCause why) override {
    contract_.up();
    if (ended) contract_.broken("on_session_end twice");
    if (s.open_streams() != 0) contract_.broken("on_session_end with an open stream");
    ended = true;
    cause = why;
    session.reset();
  }
  void on_protocol_error(http::Detail detail) override { protocol_errors.push_back(detail); }

 private:
  Contract& contract_;
};

}  // namespace sluice::support
