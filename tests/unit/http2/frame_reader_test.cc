// Frames out of bytes, wherever they are torn; what is broken without any knowledge of streams (RFC 9113 4.2, 4.3, 6).
#include "http2/frame_reader.h"

#include <string>

#include "wire.h"

#include <doctest/doctest.h>

using namespace sluice;
using http2::Code;
using http2::frame;
using http2::FrameReader;

namespace {

const std::string settings = frame(4, 0, 0, "");

// What a reader tells of `bytes`, given in two parts: "begin TYPE:LENGTH:STREAM:FLAGS", content, units, "end+PADDING".
std::string read(std::string_view bytes, size_t cut, bool preface) {
  FrameReader reader(preface);
  std::string told;
  for (const std::string_view part : {bytes.substr(0, cut), bytes.substr(cut)}) {
    for (size_t at = 0;;) {
      const FrameReader::Step step = reader.next(part, at);
      if (step == FrameReader::Step::more) break;
      switch (step) {
        case FrameReader::Step::begin: {
          const http2::Frame& f = reader.frame();
          told += std::to_string(f.type) + ":" + std::to_string(f.length) + ":" + std::to_string(f.stream) + ":" +
                  std::to_string(f.flags) + "(";
          break;
        }
        case FrameReader::Step::piece: told += reader.piece(); break;
        case FrameReader::Step::unit: told += "<" + std::string(reader.unit()) + ">"; break;
        case FrameReader::Step::end:
          told += ")" + (reader.padding() == 0 ? "" : "+" + std::to_string(reader.padding())) + " ";
          break;
        case FrameReader::Step::bad_preface: return told + "bad preface";
        case FrameReader::Step::fault: return told + "fault " + std::to_string(static_cast<int>(reader.code()));
        case FrameReader::Step::more: break;
      }
    }
  }
  return told + (reader.between_frames() ? "." : "...");
}

std::string read(std::string_view bytes) { return read(bytes, bytes.size(), false); }

}  // namespace

TEST_CASE("every frame is told, wherever the bytes are torn") {
  const std::string padded("\x03hello\0\0\0", 9);
  const std::string all =
      std::string(http2::preface) + frame(4, 0, 0, "aabbbbccdddd") + frame(4, 1, 0, "") + frame(6, 0, 0, "12345678") +
      frame(0, 9, 3, padded) + frame(0, 0, 3, "") + frame(1, 0x21, 5, std::string("\0\0\0\1\x10xyz", 8)) +
      frame(9, 4, 5, "more") + frame(2, 0, 7, "12345") + frame(7, 0, 0, "12345678and words") +
      frame(0xfb, 0, 0, std::string(100, 'u')) + frame(16, 0, 0, "1234u=1") + frame(16, 0, 0, "1234");
  const std::string told =
      "4:12:0:0(<aabbbb><ccdddd>) 4:0:0:1() 6:8:0:0(<12345678>) 0:9:3:9(hello)+4 0:0:3:0() 1:8:5:33(xyz)+5 "
      "9:4:5:4(more) "
      "2:5:7:0(<12345>) 7:17:0:0(<12345678and words>) 251:100:0:0(<" +
      std::string(FrameReader::unit_max, 'u') + ">) 16:7:0:0(<1234u=1>) 16:4:0:0(<1234>) .";
  for (size_t cut = 0; cut <= all.size(); ++cut) CHECK(read(all, cut, true) == told);
}

TEST_CASE("a preface that is none") {
  CHECK(read("GET / HTTP/1.1", 3, true) == "bad preface");
  std::string wrong(http2::preface);
  wrong.back() = 'x';
  for (size_t cut = 0; cut <= wrong.size(); ++cut) CHECK(read(wrong, cut, true) == "bad preface");
  CHECK(read(http2::preface.substr(0, 10), 4, true) == "...");
}

TEST_CASE("frames that break the connection") {
  struct Row {
    const char* name;
    std::string bytes;
    const char* told;
  };
  const Row rows[] = {
      {"no SETTINGS first", frame(6, 0, 0, "12345678"), "fault 1"},
      {"but an answer to some", frame(4, 1, 0, ""), "fault 1"},
      {"the largest that we take", settings + frame(0, 0, 1, std::string(16'384, 'x')).substr(0, 9),
       "4:0:0:0() 0:16384:1:0(..."},
      {"one byte more", settings + frame(0, 0, 1, std::string(16'385, 'x')), "4:0:0:0() fault 6"},
      {"SETTINGS that end in a setting", frame(4, 0, 0, "12345"), "fault 6"},
      {"an answer that has settings", settings + frame(4, 1, 0, "123456"), "4:0:0:0() fault 6"},
      {"a short PING", settings + frame(6, 0, 0, "1234567"), "4:0:0:0() fault 6"},
      {"a short RST_STREAM", settings + frame(3, 0, 1, "123"), "4:0:0:0() fault 6"},
      {"a long WINDOW_UPDATE", settings + frame(8, 0, 1, "12345"), "4:0:0:0() fault 6"},
      {"a long PRIORITY", settings + frame(2, 0, 1, "123456"), "4:0:0:0() fault 6"},
      {"a short GOAWAY", settings + frame(7, 0, 0, "1234567"), "4:0:0:0() fault 6"},
      {"a short PRIORITY_UPDATE", settings + frame(16, 0, 0, "123"), "4:0:0:0() fault 6"},
      {"no room for the length of the padding", settings + frame(0, 8, 1, ""), "4:0:0:0() fault 6"},
      {"padding that is all", settings + frame(0, 8, 1, std::string("\x02\0\0", 3)), "4:0:0:0() 0:3:1:8()+3 ."},
      {"and more", settings + frame(0, 8, 1, std::string("\x03\0\0", 3)), "4:0:0:0() 0:3:1:8(fault 1"},
      {"no room for the priority", settings + frame(1, 0x28, 1, "12345"), "4:0:0:0() fault 6"},
      {"a stream that depends on itself", settings + frame(1, 0x24, 9, std::string("\0\0\0\x09\1", 5)),
       "4:0:0:0() 1:5:9:36(fault 1"},
      {"CONTINUATION of nothing", settings + frame(9, 4, 1, ""), "4:0:0:0() fault 1"},
      {"of another stream", settings + frame(1, 0, 1, "") + frame(9, 4, 3, ""), "4:0:0:0() 1:0:1:0() fault 1"},
      {"another frame in a block", settings + frame(1, 0, 1, "") + settings, "4:0:0:0() 1:0:1:0() fault 1"},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    CHECK(read(row.bytes) == row.told);
  }
}
