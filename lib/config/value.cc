// Codecs of plain values: durations, sizes, numbers, words, texts and lists of them; see value.h. Rules for texts are
// in rules.cc.
#include "config/value.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "base/text.h"

namespace sluice::config {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};
constexpr std::array<Unit, 4> time_units{{{"ms", 1}, {"s", 1'000}, {"m", 60'000}, {"h", 3'600'000}}};
constexpr std::array<Unit, 4> size_units{{{"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}}};

struct Quantity {
  std::optional<std::uint64_t> value;  // nullopt: no number, no known unit, too large
  std::string suggestion;
};

// "250ms", "64KiB"; a bare "0" needs no unit.
Quantity parse_quantity(std::string_view text, std::span<const Unit> units) {
  std::size_t digits = 0;
  while (digits < text.size() && base::is_digit(text[digits])) ++digits;
  const auto number = base::parse_u64(text.substr(0, digits));
  const std::string_view unit = text.substr(digits);
  if (!number) return {};
  if (*number == 0 && unit.empty()) return {0, {}};
  for (const Unit& known : units) {
    if (known.name != unit) continue;
    if (*number > std::numeric_limits<std::uint64_t>::max() / known.factor) return {};
    return {*number * known.factor, {}};
  }
  // "64k", "64 KB", "10sec": the unit that begins alike, without regard to case, or the usual one.
  const std::string_view rest = base::trim_ows(unit);
  const Unit* meant = rest.empty() ? &units[1] : nullptr;
  for (const Unit& known : units) {
    if (meant == nullptr && !rest.empty() && base::to_lower(rest.front()) == base::to_lower(known.name.front()) &&
        (rest.size() == 1 || known.name != "ms" || base::to_lower(rest[1]) == 's')) {
      meant = &known;
    }
  }
  if (meant == nullptr) return {};
  return {std::nullopt, concat({text.substr(0, digits), meant->name})};
}

// Suggestions stand without the quotes of TOML.
std::string bare(std::string_view quoted_text) { return std::string(quoted_text.substr(1, quoted_text.size() - 2)); }

std::string print_quantity(std::uint64_t value, std::span<const Unit> units, std::string_view zero) {
  if (value == 0) return concat({"\"", zero, "\""});
  const Unit* best = &units[0];
  for (const Unit& unit : units) {
    if (value % unit.factor == 0) best = &unit;
  }
  return concat({"\"", std::to_string(value / best->factor), best->name, "\""});
}

void check_words(const Node& node, Reader& reader, std::string_view text, Words words) {
  std::vector<std::string_view> names;
  std::string all;
  for (const Word& word : words) {
    if (!reader.built(word.needs)) continue;
    names.push_back(word.name);
    all += concat({all.empty() ? "" : ", ", "\"", word.name, "\""});
  }
  const std::string_view near = nearest(text, names);
  reader.error(node.at, concat({"is one of ", all, ", not ", quoted(text)}), std::string(near));
}

}  // namespace

void Reader::wrong_type(const Node& node, std::string_view wanted, std::string suggestion) {
  error(node.at, concat({"takes ", wanted, ", not ", kind_words(node.kind)}), std::move(suggestion));
}

bool Reader::available(Position at, Feature feature, std::string_view what) {
  if (available_.has(feature)) return true;
  report_.error(at, concat({what, " is not available yet: ", words(feature), " is not built"}));
  return false;
}

std::string Reader::resolve_path(std::string_view path) const {
  if (path.empty() || path.front() == '/') return std::string(path);
  return concat({report_.source().folder(), path});
}

std::optional<std::string_view> read_text(const Node& node, Reader& reader, std::string_view wanted) {
  if (node.kind == Kind::text) return node.text;
  std::string suggestion;
  if (node.kind == Kind::integer) suggestion = std::to_string(node.integer);
  reader.wrong_type(node, wanted, std::move(suggestion));
  return std::nullopt;
}

void Duration::read(const Node& node, Reader& reader) {
  constexpr std::string_view wanted = "a duration in quotes, such as \"250ms\", \"10s\", \"5m\" or \"1h\"";
  if (node.kind == Kind::integer && node.integer >= 0) {
    return reader.wrong_type(node, wanted, concat({std::to_string(node.integer), "s"}));
  }
  if (node.kind != Kind::text) return reader.wrong_type(node, wanted);
  Quantity got = parse_quantity(node.text, time_units);
  if (!got.value) return reader.error(node.at, concat({"takes ", wanted}), std::move(got.suggestion));
  const auto limit = static_cast<std::uint64_t>(range_.max.count);
  if (*got.value > limit) return reader.error(node.at, concat({"must be at most ", print_duration(range_.max)}));
  const base::Millis value{static_cast<std::int64_t>(*got.value)};
  if (value < range_.min) return reader.error(node.at, concat({"must be at least ", print_duration(range_.min)}));
  to_ = value;
}

void Size::read(const Node& node, Reader& reader) {
  if (node.kind == Kind::integer && node.integer >= 0) {
    return reader.wrong_type(node, wanted_, bare(print_size(static_cast<std::uint64_t>(node.integer))));
  }
  if (node.kind != Kind::text) return reader.wrong_type(node, wanted_);
  Quantity got = parse_quantity(node.text, size_units);
  if (!got.value) return reader.error(node.at, concat({"takes ", wanted_}), std::move(got.suggestion));
  if (*got.value > range_.max) return reader.error(node.at, concat({"must be at most ", print_size(range_.max)}));
  if (*got.value < range_.min) return reader.error(node.at, concat({"must be at least ", print_size(range_.min)}));
  to_ = *got.value;
}

std::optional<std::int64_t> read_integer(const Node& node, Reader& reader, std::int64_t min, std::int64_t max) {
  if (node.kind != Kind::integer) {
    const bool number_in_quotes = node.kind == Kind::text && base::parse_u64(node.text).has_value();
    reader.wrong_type(node, "a whole number", number_in_quotes ? node.text : "");
    return std::nullopt;
  }
  if (node.integer < min || node.integer > max) {
    reader.error(node.at, concat({"must be from ", std::to_string(min), " to ", std::to_string(max)}));
    return std::nullopt;
  }
  return node.integer;
}

void WorkerCount::read(const Node& node, Reader& reader) {
  constexpr std::int64_t workers_max = 1'024;
  if (node.kind == Kind::text) {
    if (node.text != "auto") return reader.error(node.at, "takes \"auto\" or a number", "auto");
    to_ = 0;
    return;
  }
  if (node.kind != Kind::integer) return reader.wrong_type(node, "\"auto\" or a number");
  if (const auto value = read_integer(node, reader, 1, workers_max)) to_ = static_cast<std::uint32_t>(*value);
}

void MemorySize::read(const Node& node, Reader& reader) {
  constexpr std::uint64_t least = std::uint64_t{16} << 20;  // less would be gone with a few uploads
  if (node.kind == Kind::text && node.text == "auto") {
    to_ = 0;
    return;
  }
  Size(to_, {.min = least}, "\"auto\" or a size in quotes, such as \"512MiB\" or \"8GiB\"").read(node, reader);
}

void Share::read(const Node& node, Reader& reader) {
  double value = 0;
  if (node.kind == Kind::real) {
    value = node.real;
  } else if (node.kind == Kind::integer) {
    value = static_cast<double>(node.integer);
  } else {
    return reader.wrong_type(node, "a fraction from 0 to 1");
  }
  if (!(value >= 0 && value <= 1)) return reader.error(node.at, "must be from 0 to 1");  // not a number fails, too
  to_ = value;
}

std::string Share::print() const {
  char text[32];
  std::snprintf(text, sizeof text, "%.15g", to_);
  const std::string_view view = text;
  const bool whole = view.find_first_of(".e") == std::string_view::npos;
  return concat({view, whole ? ".0" : ""});
}

std::optional<bool> read_flag(const Node& node, Reader& reader) {
  if (node.kind == Kind::boolean) return node.boolean;
  std::string suggestion;
  if (node.kind == Kind::text) {
    const std::string word = base::to_lower(node.text);
    if (word == "true" || word == "yes" || word == "on") suggestion = "true";
    if (word == "false" || word == "no" || word == "off") suggestion = "false";
  }
  reader.wrong_type(node, "true or false", std::move(suggestion));
  return std::nullopt;
}

const Word* read_word(const Node& node, Reader& reader, Words words) {
  const auto text = read_text(node, reader);
  if (!text) return nullptr;
  for (const Word& word : words) {
    if (word.name != *text) continue;
    return reader.available(node.at, word.needs, concat({reader.key(), " = ", quoted(*text)})) ? &word : nullptr;
  }
  check_words(node, reader, *text, words);
  return nullptr;
}

std::string print_word(unsigned value, Words words) {
  for (const Word& word : words) {
    if (word.value == value) return quoted(word.name);
  }
  return "";
}

const std::vector<Node>* read_array(const Node& node, Reader& reader, std::string_view wanted) {
  if (node.kind == Kind::array) return &node.items;
  std::string suggestion;
  if (node.kind == Kind::text) suggestion = concat({"[", quoted(node.text), "]"});
  reader.wrong_type(node, wanted, std::move(suggestion));
  return nullptr;
}

void Text::read(const Node& node, Reader& reader) {
  const auto text = read_text(node, reader);
  if (!text) return;
  if (const std::string wrong = rule_(*text); !wrong.empty()) return reader.error(node.at, wrong);
  to_ = fold_ == Fold::lower ? base::to_lower(*text) : std::string(*text);
}

void FilePath::read(const Node& node, Reader& reader) {
  const auto text = read_text(node, reader, "a file's path in quotes");
  if (!text) return;
  if (text->find('\0') != std::string_view::npos) return reader.error(node.at, "must not hold a NUL");
  to_ = reader.resolve_path(*text);
}

void TextList::read(const Node& node, Reader& reader) {
  const auto* items = read_array(node, reader, "an array of texts");
  if (items == nullptr) return;
  to_.clear();
  for (const Node& item : *items) {
    const auto text = read_text(item, reader);
    if (!text) continue;
    if (const std::string wrong = rule_(*text); !wrong.empty()) {
      reader.error(item.at, wrong);
      continue;
    }
    std::string value = fold_ == Fold::lower ? base::to_lower(*text) : std::string(*text);
    to_.push_back(std::move(value));
  }
}

void Cidrs::read(const Node& node, Reader& reader) {
  const auto* items = read_array(node, reader, "an array of addresses or blocks, such as [\"10.0.0.0/8\"]");
  if (items == nullptr) return;
  to_.clear();
  for (const Node& item : *items) {
    const auto text = read_text(item, reader);
    if (!text) continue;
    auto block = net::Cidr::parse(*text);
    if (block) {
      to_.push_back(*block);
    } else {
      reader.error(item.at, concat({"holds no block: ", block.error().message}), std::move(block.error().suggestion));
    }
  }
}

std::string Cidrs::print() const {
  std::vector<std::string> items;
  for (const net::Cidr& block : to_) items.push_back(block.text());
  return print_list(items);
}

std::string quoted(std::string_view text) {
  std::string to = "\"";
  for (const char c : text) {
    switch (c) {
      case '"': to += "\\\""; break;
      case '\\': to += "\\\\"; break;
      case '\n': to += "\\n"; break;
      case '\r': to += "\\r"; break;
      case '\t': to += "\\t"; break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
          char escape[8];
          std::snprintf(escape, sizeof escape, "\\u%04X", static_cast<unsigned>(c));
          to += escape;
        } else {
          to += c;
        }
    }
  }
  return to + '"';
}

std::optional<base::Millis> parse_duration(std::string_view text) {
  const auto value = parse_quantity(text, time_units).value;
  if (!value || *value > static_cast<std::uint64_t>(duration_max.count)) return std::nullopt;
  return base::Millis{static_cast<std::int64_t>(*value)};
}

std::string print_duration(base::Millis value) {
  return print_quantity(static_cast<std::uint64_t>(value.count), time_units, "0s");
}

std::string print_size(std::uint64_t bytes) { return print_quantity(bytes, size_units, "0"); }

std::string print_list(const std::vector<std::string>& items) {
  std::string text = "[";
  for (const std::string& item : items) text += concat({text.size() > 1 ? ", " : "", quoted(item)});
  return text + "]";
}

}  // namespace sluice::config
