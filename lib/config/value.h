// Codecs: how one key's value is read from the tree into its option, with what is wrong with it, and how it is printed
// as TOML. A codec borrows the option; both live for one visit of the schema.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "config/availability.h"
#include "config/tree.h"
#include "net/address.h"

namespace sluice::config {

// What a codec needs while it reads: where to complain, the key that is read, what is built.
class Reader {
 public:
  Reader(Report& report, const Availability& available) : report_(report), available_(available) {}

  void start(std::string_view key) { key_ = key; }
  std::string_view key() const { return key_; }
  // The message reads on from the key: "must not be empty".
  void error(Position at, std::string_view message, std::string suggestion = {}) {
    report_.error(at, concat({key_, " ", message}), std::move(suggestion));
  }
  // "KEY takes WANTED, not a number".
  void wrong_type(const Node& node, std::string_view wanted, std::string suggestion = {});
  // Whether the feature is built; if not, says that `what` is not available yet.
  bool available(Position at, Feature feature, std::string_view what);
  bool built(Feature feature) const { return available_.has(feature); }
  std::string resolve_path(std::string_view path) const;  // relative to the file's folder

 private:
  Report& report_;
  const Availability& available_;
  std::string_view key_;
};

class Codec {
 public:
  // Fills the option, or complains and leaves it as it is.
  virtual void read(const Node& node, Reader& reader) = 0;
  // As TOML; "" = not set, nothing is printed.
  virtual std::string print() const = 0;

 protected:
  ~Codec() = default;
};

// What a text must be, beyond being text: returns what is wrong, "" if nothing is.
using TextRule = std::string (*)(std::string_view text);
std::string any_text(std::string_view text);
std::string some_text(std::string_view text);  // not empty
std::string label_text(std::string_view text);  // a name for metrics and logs: 1..128 printable characters
std::string field_name(std::string_view text);  // RFC 9110 5.1: token
std::string field_value(std::string_view text);  // RFC 9110 5.5: no CR, LF, NUL, other controls
std::string host_pattern(std::string_view text);  // "example.com", "*.example.com", an IP address
std::string bare_host(std::string_view text);  // "example.com": no wildcard, no port
std::string host_name(std::string_view text);  // a name, or an IP address, with or without a port
std::string name_and_port(std::string_view text);  // "app.internal:8080"
std::string service_name(std::string_view text);  // "_http._tcp.app.internal"
std::string optional_path(std::string_view text);  // "" too
std::string path_text(std::string_view text);  // starts with '/', visible ASCII, no query

std::string quoted(std::string_view text);  // a TOML basic string
std::string print_duration(base::Millis value);
std::optional<base::Millis> parse_duration(std::string_view text);  // "250ms", "60s"; nullopt: none, or too long
std::string print_size(std::uint64_t bytes);
std::string print_list(const std::vector<std::string>& items);

inline constexpr base::Millis duration_max = base::hours(24 * 365);

struct DurationRange {
  base::Millis min{0};
  base::Millis max = duration_max;
};

class Duration final : public Codec {
 public:
  explicit Duration(base::Millis& to, DurationRange range = {}) : to_(to), range_(range) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return print_duration(to_); }

 private:
  base::Millis& to_;
  DurationRange range_;
};

struct SizeRange {
  std::uint64_t min = 0;
  std::uint64_t max = std::uint64_t{1} << 50;
};

class Size final : public Codec {
 public:
  static constexpr std::string_view usual = "a size in quotes, such as \"512B\", \"64KiB\" or \"8MiB\"";
  explicit Size(std::uint64_t& to, SizeRange range = {}, std::string_view wanted = usual)
      : to_(to), range_(range), wanted_(wanted) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return print_size(to_); }

 private:
  std::uint64_t& to_;
  SizeRange range_;
  std::string_view wanted_;
};

// The value of a node, nullopt with a complaint when it is of another type or out of range.
std::optional<std::string_view> read_text(const Node& node, Reader& reader, std::string_view wanted = "text in quotes");
std::optional<std::int64_t> read_integer(const Node& node, Reader& reader, std::int64_t min, std::int64_t max);

template <class T>
class Number final : public Codec {
 public:
  Number(T& to, std::int64_t min, std::int64_t max) : to_(to), min_(min), max_(max) {}
  void read(const Node& node, Reader& reader) override {
    if (const auto value = read_integer(node, reader, min_, max_)) to_ = static_cast<T>(*value);
  }
  std::string print() const override { return std::to_string(to_); }

 private:
  T& to_;
  std::int64_t min_;
  std::int64_t max_;
};

// `workers`: "auto" (0) or a number.
class WorkerCount final : public Codec {
 public:
  explicit WorkerCount(std::uint32_t& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return to_ == 0 ? "\"auto\"" : std::to_string(to_); }

 private:
  std::uint32_t& to_;
};

// `max_memory`: "auto" (0) or a size.
class MemorySize final : public Codec {
 public:
  explicit MemorySize(std::uint64_t& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return to_ == 0 ? "\"auto\"" : print_size(to_); }

 private:
  std::uint64_t& to_;
};

// `budget`: 0..1.
class Share final : public Codec {
 public:
  explicit Share(double& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  double& to_;
};

std::optional<bool> read_flag(const Node& node, Reader& reader);

// A bool, or an enum whose values are no and yes.
template <class T>
class Flag final : public Codec {
 public:
  explicit Flag(T& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override {
    if (const auto value = read_flag(node, reader)) to_ = static_cast<T>(*value);
  }
  std::string print() const override { return to_ == static_cast<T>(true) ? "true" : "false"; }

 private:
  T& to_;
};

// One word of a closed list; a word whose feature is not built is refused.
struct Word {
  std::string_view name;
  unsigned value;
  Feature needs = Feature::none;
};
using Words = std::span<const Word>;
const Word* read_word(const Node& node, Reader& reader, Words words);
std::string print_word(unsigned value, Words words);

template <class E>
class Choice final : public Codec {
 public:
  Choice(E& to, Words words) : to_(to), words_(words) {}
  void read(const Node& node, Reader& reader) override {
    if (const Word* word = read_word(node, reader, words_)) to_ = static_cast<E>(word->value);
  }
  std::string print() const override { return print_word(static_cast<unsigned>(to_), words_); }

 private:
  E& to_;
  Words words_;
};

// The items of an array; null with a complaint when the node is no array.
const std::vector<Node>* read_array(const Node& node, Reader& reader, std::string_view wanted);

// Several words of a closed list, none twice; at least one, unless none stands for something.
enum class Empty : std::uint8_t { refused, allowed };
template <class E>
class Choices final : public Codec {
 public:
  Choices(std::vector<E>& to, Words words, Empty empty = Empty::refused) : to_(to), words_(words), empty_(empty) {}
  void read(const Node& node, Reader& reader) override {
    const auto* items = read_array(node, reader, "an array of texts");
    if (items == nullptr) return;
    if (items->empty() && empty_ == Empty::refused) return reader.error(node.at, "must name at least one");
    to_.clear();
    for (const Node& item : *items) {
      const Word* word = read_word(item, reader, words_);
      if (word == nullptr) continue;
      for (const E& had : to_) {
        if (had == static_cast<E>(word->value)) reader.error(item.at, "is named twice");
      }
      to_.push_back(static_cast<E>(word->value));
    }
  }
  std::string print() const override {
    std::string text = "[";
    for (const E& value : to_) text += (text.size() > 1 ? ", " : "") + print_word(static_cast<unsigned>(value), words_);
    return text + "]";
  }

 private:
  std::vector<E>& to_;
  Words words_;
  Empty empty_;
};

enum class Fold : std::uint8_t { no, lower };

class Text final : public Codec {
 public:
  explicit Text(std::string& to, TextRule rule = any_text, Fold fold = Fold::no) : to_(to), rule_(rule), fold_(fold) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return quoted(to_); }

 private:
  std::string& to_;
  TextRule rule_;
  Fold fold_;
};

// A file, relative to the folder of the configuration file; "" = none.
class FilePath final : public Codec {
 public:
  explicit FilePath(std::string& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return quoted(to_); }

 private:
  std::string& to_;
};

class TextList final : public Codec {
 public:
  explicit TextList(std::vector<std::string>& to, TextRule rule, Fold fold = Fold::no)
      : to_(to), rule_(rule), fold_(fold) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return print_list(to_); }

 private:
  std::vector<std::string>& to_;
  TextRule rule_;
  Fold fold_;
};

class Cidrs final : public Codec {
 public:
  explicit Cidrs(std::vector<net::Cidr>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::vector<net::Cidr>& to_;
};

}  // namespace sluice::config
