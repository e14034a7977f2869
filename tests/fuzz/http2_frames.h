// What the two HTTP/2 targets share. An input is read as a list of steps, each a frame whose parts are picked by bytes
// (so that a changed byte makes another frame and not another error), some time, or something that our side does; with
// the raw bit set its bytes go to the wire as they are. Output checks what came back, frame by frame.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"

namespace sluice::fuzz {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  bool empty() const { return at_ == end_; }
  uint8_t byte() { return at_ == end_ ? 0 : *at_++; }
  uint8_t below(uint8_t n) { return static_cast<uint8_t>(byte() % n); }
  std::string_view bytes(size_t most) {
    const size_t n = std::min(most, static_cast<size_t>(end_ - at_));
    const std::string_view text(reinterpret_cast<const char*>(at_), n);
    at_ += n;
    return text;
  }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

inline std::string number(uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8), static_cast<char>(n)};
}

inline std::string frame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload) {
  std::string text = number(static_cast<uint32_t>(payload.size())).substr(1);
  text += static_cast<char>(type);
  text += static_cast<char>(flags);
  text += number(stream);
  text += payload;
  return text;
}

// HPACK: a literal, never put into the table or always.
inline void add_line(std::string& block, std::string_view name, std::string_view value, bool indexed) {
  const auto string = [&](std::string_view s) {
    if (s.size() < 127) {
      block += static_cast<char>(s.size());
    } else {
      block += '\x7f';
      size_t rest = s.size() - 127;
      for (; rest >= 128; rest >>= 7) block += static_cast<char>(rest % 128 + 128);
      block += static_cast<char>(rest);
    }
    block += s;
  };
  block += indexed ? '\x40' : '\0';
  string(name);
  string(value);
}

using Line = std::pair<std::string_view, std::string_view>;

// Frames of one peer. `usual`: the lines of a good head; `odd`: what may be mixed in.
class Script {
 public:
  Script(Input& in, uint32_t first_id, std::vector<std::vector<Line>> usual, std::vector<Line> odd)
      : in_(in), next_id_(first_id), usual_(std::move(usual)), odd_(std::move(odd)) {}

  static constexpr uint8_t kinds = 16;  // of steps that are frames
  // Answers: on streams that the other side has opened.
  void answers(uint32_t next_id) {
    next_id_ = next_id;
    answers_ = true;
  }

  std::string step(uint8_t kind) {
    switch (kind % kinds) {
      case 0: return head(take_id(), block(in_.byte() % usual_.size(), 0), 5);
      case 1: return head(take_id(), block(in_.byte() % usual_.size(), in_.below(4)), 4 | in_.below(2));
      case 2: return head(id(), block(in_.byte() % usual_.size(), in_.below(4)), in_.byte() & 0x2d);
      case 3: return head(id(), block(usual_.size(), 1 + in_.below(3)), 4 | in_.below(2));
      case 4: return frame(0, in_.below(2), id(), std::string(size(), 'd'));
      case 5: return frame(0, in_.byte() & 9, id(), in_.bytes(in_.byte()));
      case 6: return frame(3, 0, id(), number(in_.below(14)));
      case 7: return settings();
      case 8: return frame(6, in_.below(2), 0, "12345678");
      case 9: return frame(8, 0, in_.below(3) == 0 ? 0 : id(), number(window()));
      case 10: return frame(2, 0, id(), number(id()) + "\x10");
      case 11: return frame(16, 0, 0, number(id()) + std::string(in_.bytes(in_.below(16))));
      case 12: return frame(9, in_.below(2) * 4, id(), in_.bytes(in_.byte()));
      case 13: return frame(7, 0, 0, number(id()) + number(in_.below(14)));
      case 14: return continued();
      default: return frame(in_.byte(), in_.byte(), in_.below(4) == 0 ? in_.byte() : id(), in_.bytes(in_.byte()));
    }
  }

 private:
  uint32_t take_id() {
    if (answers_) return id();
    const uint32_t taken = next_id_;
    next_id_ += 2;
    return taken;
  }
  // Mostly one of the latest.
  uint32_t id() {
    const uint8_t pick = in_.byte();
    if (pick >= 250) return pick - 250U;
    const uint32_t back = 2U * (pick % 5);
    return next_id_ > back + 2 ? next_id_ - 2 - back : 1;
  }
  size_t size() {
    constexpr std::array<size_t, 8> sizes{0, 1, 5, 100, 2047, 5000, 16'384, 16'385};
    return sizes[in_.byte() % sizes.size()];
  }
  uint32_t window() {
    constexpr std::array<uint32_t, 6> sizes{0, 1, 1000, 65'535, 1U << 20, 0x7fffffff};
    return sizes[in_.byte() % sizes.size()];
  }
  std::string settings() {
    constexpr std::array<uint32_t, 8> values{0, 1, 2, 100, 4096, 16'384, 65'535, 0x80000000};
    if (in_.below(4) == 0) return frame(4, 1, 0, "");
    std::string payload;
    for (uint32_t n = in_.below(4); n != 0; --n)
      payload += number(1 + in_.below(9)).substr(2) + number(values[in_.byte() % values.size()]);
    return frame(4, 0, 0, payload);
  }
  std::string block(size_t which, uint32_t odd) {
    std::string text;
    if (which < usual_.size()) {
      for (const auto& [name, value] : usual_[which]) add_line(text, name, value, in_.below(8) == 0);
    }
    for (uint32_t i = 0; i < odd; ++i) {
      const auto& [name, value] = odd_[in_.byte() % odd_.size()];
      const uint32_t times = in_.below(16) == 0 ? 120 : 1;
      for (uint32_t n = 0; n < times; ++n) add_line(text, name, value, in_.below(8) == 0);
    }
    if (in_.below(32) == 0) text += std::string(in_.bytes(in_.below(32)));
    return text;
  }
  static std::string head(uint32_t stream, const std::string& text, uint32_t flags) {
    if ((flags & 8) != 0) return frame(1, static_cast<uint8_t>(flags), stream, std::string(1, '\x02') + text + "pp");
    if ((flags & 32) != 0) return frame(1, static_cast<uint8_t>(flags), stream, number(1) + "\x10" + text);
    return frame(1, static_cast<uint8_t>(flags), stream, text);
  }
  // A block in pieces.
  std::string continued() {
    const uint32_t stream = take_id();
    const std::string text = block(in_.byte() % usual_.size(), in_.below(3));
    const uint32_t pieces = 1 + in_.below(10);
    const size_t each = text.size() / pieces;
    std::string all = frame(1, static_cast<uint8_t>(in_.below(2)), stream, std::string_view(text).substr(0, each));
    for (uint32_t i = 1; i < pieces; ++i) all += frame(9, 0, stream, std::string_view(text).substr(i * each, each));
    return all + frame(9, 4, stream, std::string_view(text).substr(pieces * each));
  }

  Input& in_;
  uint32_t next_id_;
  bool answers_ = false;
  std::vector<std::vector<Line>> usual_;
  std::vector<Line> odd_;
};

// What our side wrote: whole frames of allowed sizes, header blocks in one piece, nothing on a stream after its end.
class Output {
 public:
  void feed(std::string_view bytes, size_t preface) {
    pending_ += bytes;
    if (!preface_seen_ && pending_.size() >= preface) {
      pending_.erase(0, preface);
      preface_seen_ = true;
    }
    while (preface_seen_ && pending_.size() >= 9) {
      const auto at = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(pending_[i])); };
      const size_t length = at(0) << 16 | at(1) << 8 | at(2);
      CHECK(length <= 16'384);
      if (pending_.size() < 9 + length) return;
      take(static_cast<uint8_t>(at(3)), static_cast<uint8_t>(at(4)), at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8));
      pending_.erase(0, 9 + length);
    }
  }

 private:
  void take(uint8_t type, uint8_t flags, uint32_t id) {
    CHECK(type <= 9 && type != 5);
    if (open_block_ != 0) CHECK(type == 9 && id == open_block_);
    if (type == 1 || type == 9) open_block_ = (flags & 4) == 0 ? id : 0;
    if (type == 0 || type == 1) {
      CHECK(id != 0 && !ended_[id]);
      if ((flags & 1) != 0) ended_[id] = true;
    }
    if (type == 3) ended_[id] = true;
  }

  std::string pending_;
  std::map<uint32_t, bool> ended_;
  uint32_t open_block_ = 0;
  bool preface_seen_ = false;
};

}  // namespace sluice::fuzz
