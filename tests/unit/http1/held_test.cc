// Row 49: what is kept of a head is bounded by its bytes, whatever they are and however they are torn: heads of
// requests and answers, trailers, heads in front of an answer.
#include <functional>
#include <string>
#include <vector>

#include "bench.h"
#include "http1/head_reader.h"
#include "http1/message.h"
#include "support/held.h"
#include "support/random.h"

#include <doctest/doctest.h>

using namespace sluice;
using http1::HeadReader;
using http1::Side;

namespace {

std::string repeat(std::string_view text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i) all += text;
  return all;
}

// Field lines that try to cost more than their bytes.
std::vector<std::string> costly_lines() {
  const std::string kilobyte(1000, 'x');
  return {
      repeat("a:\r\n", 99),
      repeat("X:" + std::string(600, ' ') + "\r\n", 99),
      repeat("X: a" + std::string(640, '\t') + "\r\n", 99),
      repeat("Via: " + std::string(600, 'v') + "\r\n", 98),
      "X: a\r\n" + repeat(" \r\n", 20'000),
      "X: a\r\n" + repeat(" b\r\n", 15'000),
      "X: a\r\n" + repeat(" " + kilobyte + "\r\n", 60),
      repeat("X: a\r\n" + repeat(" b\r\n", 100), 98),
      "X:\r\n" + repeat("\t" + std::string(60, 'f') + " \r\n", 900),
      "X: " + std::string(64'000, 'x') + "\r\n",
      "Connection: " + repeat("x,", 60) + "y\r\n" + "X: " + std::string(60'000, 'x') + "\r\n",
      "Connection: close\r\n" + repeat("Connection: a" + std::string(600, 'c') + "\r\n", 60),
      "Upgrade: " + std::string(60'000, 'U') + "\r\nConnection: upgrade\r\n",
      repeat("X-Unknown-Name: " + kilobyte + "\r\n", 60),
  };
}

std::string random_lines(support::Random& random) {
  constexpr std::string_view names[] = {
      "A", "Via", "X-Forwarded-For", "Cookie", "Connection", "Content-Length", "Keep-Alive", "TE", "x_y"};
  std::string lines;
  const size_t size = random.between(1, 70'000);
  const bool folds = !random.one_in(3);
  while (lines.size() < size) {
    const size_t n = random.one_in(20) ? random.below(20'000) : random.one_in(4) ? random.below(900) : random.below(4);
    if (folds && !lines.empty() && !random.one_in(10)) {
      lines += random.one_in(2) ? " " : "\t ";
    } else {
      lines += std::string(names[random.below(std::size(names))]) + ":";
    }
    lines += std::string(n, random.one_in(3) ? ' ' : 'x') + "\r\n";
  }
  return lines;
}

struct Reading {
  explicit Reading(Side of) : side(of), reader(of, limits, arena) {}

  // False: no more of it is read.
  bool feed(std::string_view bytes, support::Random* tear, const std::function<HeadReader::Status()>& read) {
    auto status = HeadReader::Status::more;
    while (!bytes.empty() && status == HeadReader::Status::more) {
      const size_t n = tear == nullptr ? bytes.size()
                                       : std::min<size_t>(bytes.size(), tear->one_in(20) ? tear->between(1, 9000)
                                                                                         : tear->between(1, 30));
      raw += n;
      in.append_copy(bytes.substr(0, n));
      bytes.remove_prefix(n);
      status = read();
      REQUIRE(arena.bytes_held() <= support::held_max(raw));
    }
    in.clear();
    return status == HeadReader::Status::done;
  }
  bool head_of(std::string_view bytes, support::Random* tear) {
    return feed(bytes, tear, [&] { return reader.read(in, head); });
  }
  bool judged() {
    http1::Message message;
    const bool good = side == Side::request
                          ? judge_request(reader.special(), http::Scheme::http, head, message).clean()
                          : judge_response(reader.special(), {http::Method::get, {}}, head, message).clean();
    CHECK(arena.bytes_held() <= support::held_max(raw));
    return good;
  }

  http::HttpLimits limits;
  base::Arena arena;
  http::Head head{arena};
  http::Fields trailers{arena};
  Side side;
  HeadReader reader;
  net::ByteQueue in;
  size_t raw = 0;
};

void check_lines(const std::string& lines, support::Random* tear) {
  for (const Side side : {Side::request, Side::response}) {
    CAPTURE(static_cast<int>(side));
    const std::string first = side == Side::request ? "GET / HTTP/1.1\r\nHost: a\r\n" : "HTTP/1.1 200 OK\r\n";
    Reading whole(side);
    if (whole.head_of(first + lines + "\r\n", tear)) whole.judged();
    Reading trailing(side);
    REQUIRE(trailing.head_of(first + "\r\n", nullptr));
    trailing.judged();
    trailing.reader.begin_trailers(trailing.trailers);
    trailing.feed(lines + "\r\n", tear, [&] { return trailing.reader.read_trailers(trailing.in); });
  }
  Reading early(Side::response);  // many heads in front of an answer
  for (int i = 0; i < 10; ++i) {
    if (!early.head_of("HTTP/1.1 103 Early Hints\r\n" +
                           lines.substr(0, 1600).substr(0, lines.substr(0, 1600).rfind('\n') + 1) + "\r\n",
                       tear))
      break;
    early.judged();
    early.head.restart();
    early.reader.restart(early.limits);
  }
}

}  // namespace

TEST_CASE("a head holds at most four times its bytes and 16 KiB") {
  const auto all = costly_lines();
  for (size_t i = 0; i < all.size(); ++i) {
    CAPTURE(i);
    check_lines(all[i], nullptr);
    support::Random tear(i + 1);
    check_lines(all[i], &tear);
  }
}

TEST_CASE("so do random ones") {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    support::Random random(seed);
    check_lines(random_lines(random), seed % 4 == 0 ? nullptr : &random);
  }
}

TEST_CASE("every byte of a line is charged but the four that each has, at the limit and one above") {
  constexpr size_t limit = 64 * 1024;
  const auto blanks = [](size_t n) {
    return "GET / HTTP/1.1\r\nHost: a\r\nX:" + std::string(n - 5 - 1 + 1, ' ') + "\r\n\r\n";
  };
  const auto many = [](size_t last) {
    return "GET / HTTP/1.1\r\nHost: a\r\n" + repeat("X: " + std::string(1000, ' ') + "\r\n", 60) +
           "X: " + std::string(last, ' ') + "\r\n\r\n";
  };
  struct Row {
    std::string bytes;
    bool good;
  };
  // Host costs 5; a line "X:", n blanks, CRLF costs n.
  const Row rows[] = {{blanks(limit), true},
                      {blanks(limit + 1), false},
                      {many(limit - 5 - 60 * 1001 - 1), true},
                      {many(limit - 5 - 60 * 1001), false}};
  for (const Row& r : rows) {
    for (const size_t piece : {size_t{1} << 20, size_t{1000}}) {
      http1::ServerBench b;
      b.pair.peer->tear(support::tear_every(piece));
      b.exchange(r.bytes);
      CHECK(b.host.trace().starts_with(r.good ? "request GET" : "malformed headers_too_large field_size"));
    }
  }
}

TEST_CASE("folds are charged whole, empty ones too, at the limit and one above") {
  constexpr size_t limit = 64 * 1024;
  const std::string first = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: a\r\n";  // 14 + 1 and 2
  const size_t left = limit - 15 - 2;
  const auto empty = [&](size_t bytes) {
    return first + repeat(" \r\n", bytes / 3 - 1) + std::string(bytes % 3 + 1, ' ') + "\r\n\r\n";
  };
  const auto full = [&](size_t bytes) { return first + " " + std::string(bytes - 3, 'f') + "\r\n\r\n"; };
  const std::pair<std::string, bool> rows[] = {
      {empty(left), true}, {empty(left + 1), false}, {full(left), true}, {full(left + 1), false}};
  for (const auto& [text, good] : rows) {
    for (const size_t piece : {size_t{1} << 20, size_t{1000}}) {
      http1::ClientBench b;
      b.pair.peer->tear(support::tear_every(piece));
      support::ProbeSink sink(b.contract);
      REQUIRE(b.ask(sink));
      b.answer(text);
      CHECK(sink.why ==
            (good ? http::Failure{}
                  : http::Failure{http::Kind::bad_response, http::Where::upstream, http::Detail::head_size, false}));
    }
  }
}

TEST_CASE("a folded value is one, however it is torn") {
  std::string text = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: v0\r\n";
  std::string value = "v0";
  for (int i = 1; i < 900; ++i) {
    const std::string more = i % 7 == 0 ? "" : "v" + std::to_string(i);
    text += (i % 3 == 0 ? "\t " : " ") + more + " \r\n";
    if (!more.empty()) value += " " + more;
  }
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{600}, size_t{1} << 20}) {
    CAPTURE(piece);
    http1::ClientBench b;
    b.pair.peer->tear(support::tear_every(piece));
    support::ProbeSink sink(b.contract);
    REQUIRE(b.ask(sink));
    b.answer(text + "Y: z\r\n w\r\n\r\n");
    CHECK(sink.trace.find("[X: " + value + "] [Y: z w]") != std::string::npos);
  }
}
