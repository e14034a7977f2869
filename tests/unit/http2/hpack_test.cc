// Header blocks between our two sides and nghttp2's own, and that both go on as before after a rest.
#include "http2/hpack.h"

#include <nghttp2/nghttp2.h>

#include <random>
#include <string>
#include <vector>

#include "http2/memory.h"
#include "wire.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::HeaderDecoder;
using http2::HeaderEncoder;
using http2::Indexing;
using http2::Line;
using Got = http2::HeaderDecoder::Got;

namespace {

std::string decode(HeaderDecoder& decoder, std::string_view block, size_t step = 0) {
  std::string told;
  Line line;
  Got got = Got::more;
  do {
    std::string_view part = block.substr(0, step == 0 ? block.size() : step);
    block.remove_prefix(part.size());
    do {
      got = decoder.next(part, block.empty(), line);
      if (got == Got::line)
        told +=
            std::string(line.name) + "=" + std::string(line.value) + (line.indexing == Indexing::never ? "!;" : ";");
    } while (got == Got::line);
  } while (got == Got::more && !block.empty());
  return told + (got == Got::whole ? "" : got == Got::fault ? "fault" : "?");
}

// What nghttp2's decoder, on its own, makes of our blocks.
class Reference {
 public:
  explicit Reference(size_t table = 4096) {
    nghttp2_hd_inflate_new(&inflater_);
    if (table != 4096) nghttp2_hd_inflate_change_table_size(inflater_, table);
  }
  ~Reference() { nghttp2_hd_inflate_del(inflater_); }
  Reference(const Reference&) = delete;
  Reference& operator=(const Reference&) = delete;
  std::string decode(std::string_view block) {
    std::string told;
    for (int flags = 0; (flags & NGHTTP2_HD_INFLATE_FINAL) == 0;) {
      nghttp2_nv nv{};
      const ssize_t n = nghttp2_hd_inflate_hd2(inflater_, &nv, &flags, reinterpret_cast<const uint8_t*>(block.data()),
                                               block.size(), 1);
      if (n < 0) return told + "fault";
      block.remove_prefix(static_cast<size_t>(n));
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) == 0) continue;
      told.append(reinterpret_cast<const char*>(nv.name), nv.namelen).append("=");
      told.append(reinterpret_cast<const char*>(nv.value), nv.valuelen)
          .append((nv.flags & NGHTTP2_NV_FLAG_NO_INDEX) != 0 ? "!;" : ";");
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    return told;
  }
  size_t entries() const { return nghttp2_hd_inflate_get_num_table_entries(inflater_) - 61; }

 private:
  nghttp2_hd_inflater* inflater_ = nullptr;
};

std::string text(const std::vector<Line>& lines) {
  std::string all;
  for (const Line& l : lines)
    all += std::string(l.name) + "=" + std::string(l.value) + (l.indexing == Indexing::never ? "!;" : ";");
  return all;
}

const std::vector<Line> answer = {
    {":status", "200"}, {"server", "something"}, {"x-kind", "a"}, {"authorization", "secret", Indexing::never}};

}  // namespace

TEST_CASE("our blocks are read by another decoder, also after rests, and rest is free") {
  const size_t before = http2::Memory::live_bytes();
  HeaderEncoder encoder;
  Reference peer;
  size_t first = 0;
  for (int i = 0; i < 5; ++i) {
    const std::string one(*encoder.encode(answer));
    CHECK(peer.decode(one) == text(answer));
    const std::string two(*encoder.encode(answer));
    CHECK(two.size() < one.size());                  // the table is in use
    CHECK(peer.decode(two) == text(answer));
    if (i == 0) first = one.size();
    CHECK(one.size() <= first + 4);                  // after a rest: two updates of the size and all anew
    encoder.rest();
    CHECK(http2::Memory::live_bytes() == before);
  }
}

TEST_CASE("the peer's limit of our table is obeyed, whenever it comes") {
  for (const uint32_t limit : {0U, 100U, 4096U, 100'000U}) {
    for (const bool resting : {false, true}) {
      CAPTURE(limit);
      CAPTURE(resting);
      HeaderEncoder encoder;
      Reference peer;
      CHECK(peer.decode(*encoder.encode(answer)) == text(answer));
      if (resting) encoder.rest();
      encoder.limit_table(limit);
      for (int i = 0; i < 3; ++i) CHECK(peer.decode(*encoder.encode(answer)) == text(answer));
      if (limit == 0) CHECK(peer.entries() == 0);
      encoder.rest();
      CHECK(peer.decode(*encoder.encode(answer)) == text(answer));
    }
  }
  HeaderEncoder fresh;                               // SETTINGS before the first block
  fresh.limit_table(0);
  Reference strict(0);
  CHECK(strict.decode(*fresh.encode(answer)) == text(answer));
}

TEST_CASE("a block at the limit, and above it") {
  HeaderEncoder encoder;
  Reference peer;
  const std::string large(16'000, '~');              // 13 bits each by Huffman: as they are
  std::vector<Line> lines(16, Line{"x", large});
  CHECK(peer.decode(*encoder.encode(lines)) == text(lines));
  lines.push_back({"x", large});
  CHECK_FALSE(encoder.encode(lines));
  CHECK(peer.decode(*encoder.encode(answer)) == text(answer));   // nothing was lost
}

TEST_CASE("a decoder goes on after a rest as one that had none, and holds little meanwhile") {
  for (const uint32_t seed : {1U, 2U, 3U, 4U, 5U, 6U}) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    const auto below = [&](uint32_t n) { return static_cast<uint32_t>(random() % n); };
    nghttp2_hd_deflater* theirs = nullptr;
    REQUIRE(nghttp2_hd_deflate_new(&theirs, 4096) == 0);
    HeaderDecoder decoder;
    HeaderDecoder steady;
    for (int i = 0; i < 300; ++i) {
      if (below(20) == 0) nghttp2_hd_deflate_change_table_size(theirs, below(5) * 1000);
      std::vector<std::string> texts;
      for (uint32_t k = 0; k < 1 + below(8); ++k) {
        texts.push_back("x-" + std::to_string(below(30)));
        texts.push_back(std::string(below(10) == 0 ? below(3000) : below(40), static_cast<char>('a' + below(3))));
      }
      std::vector<nghttp2_nv> lines;
      for (size_t k = 0; k < texts.size(); k += 2) {
        lines.push_back({reinterpret_cast<uint8_t*>(texts[k].data()), reinterpret_cast<uint8_t*>(texts[k + 1].data()),
                         texts[k].size(), texts[k + 1].size(), NGHTTP2_NV_FLAG_NONE});
      }
      std::string block(nghttp2_hd_deflate_bound(theirs, lines.data(), lines.size()), '\0');
      block.resize(static_cast<size_t>(nghttp2_hd_deflate_hd(theirs, reinterpret_cast<uint8_t*>(block.data()),
                                                             block.size(), lines.data(), lines.size())));
      std::string sent;
      for (size_t k = 0; k < texts.size(); k += 2) sent += texts[k] + "=" + texts[k + 1] + ";";
      CHECK(decode(steady, block) == sent);
      CHECK(decode(decoder, block, 1 + below(20)) == sent);
      if (below(3) == 0) {
        decoder.rest();
        decoder.rest();                              // twice is once
      }
    }
    nghttp2_hd_deflate_del(theirs);
  }
  const size_t before = http2::Memory::live_bytes();
  {
    HeaderDecoder decoder;
    HeaderEncoder browser;
    const std::vector<Line> request = {
        {":method", "GET"}, {":scheme", "https"},          {":authority", "www.example.com"},
        {":path", "/"},     {"user-agent", "curl/7.88.1"}, {"accept", "*/*"}};
    CHECK(decode(decoder, *browser.encode(request)) == text(request));
    browser.rest();
    CHECK(http2::Memory::live_bytes() - before > 1500);
    decoder.rest();
    CHECK(http2::Memory::live_bytes() - before < 200);
  }
  CHECK(http2::Memory::live_bytes() == before);
}

TEST_CASE("blocks that are none") {
  for (const std::string& block : {std::string("\x80", 1), std::string("\xc0", 1), std::string("\x3f\xe2\x1f", 3),
                                   std::string("\x40\x05"
                                               "ab",
                                               4)}) {
    HeaderDecoder decoder;
    CHECK(decode(decoder, block).ends_with("fault"));
  }
}
