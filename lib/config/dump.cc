// The printing Visitors; see dump.h.
#include "config/dump.h"

#include "base/text.h"
#include "config/composite.h"
#include "config/schema.h"

namespace sluice::config {
namespace {

bool is_secret(std::string_view field) {
  constexpr std::string_view marks[] = {"authorization", "cookie",  "token",  "secret",
                                        "password",      "api-key", "apikey", "credential"};
  for (std::string_view mark : marks) {
    if (field.find(mark) != std::string_view::npos) return true;
  }
  return false;
}

void hide(std::vector<route::HeaderValue>& values) {
  for (route::HeaderValue& value : values) {
    if (is_secret(value.name)) value.value = "***";
  }
}

// The headings of tables, by where they stand.
class Headings {
 public:
  std::string table(std::string_view name) const { return concat({"[", outer_, outer_.empty() ? "" : ".", name, "]"}); }
  void push(std::string_view name) {
    sizes_.push_back(outer_.size());
    outer_ += concat({outer_.empty() ? "" : ".", name});
  }
  void pop() {
    outer_.resize(sizes_.back());
    sizes_.pop_back();
  }

 private:
  std::string outer_;
  std::vector<std::size_t> sizes_;
};

class DumpVisitor final : public Visitor {
 public:
  explicit DumpVisitor(const Availability& available) : available_(available) {}

  void key(const Key& key, Codec& codec) override {
    const std::string value = codec.print();
    if (available_.has(key.needs) && !value.empty()) text += concat({key.name, " = ", value, "\n"});
  }
  bool enter(const TableKey& table, Held held) override {
    if (held == Held::no || !available_.has(table.needs)) return false;
    text += concat({"\n", headings_.table(table.name), "\n"});
    headings_.push(table.name);
    return true;
  }
  void leave() override { headings_.pop(); }
  std::size_t enter_array(const TableKey&, std::size_t held) override { return held; }
  void item(const TableKey& table, std::size_t) override {
    text += concat({"\n[", headings_.table(table.name), "]\n"});
    headings_.push(table.name);
  }

  std::string text;

 private:
  const Availability& available_;
  Headings headings_;
};

// A comment of lines of at most 118 characters.
std::string comment(std::string_view indent, std::string_view words) {
  constexpr std::size_t width = 118;
  std::string text;
  std::string line = concat({indent, "#"});
  while (!words.empty()) {
    const std::size_t blank = words.find(' ');
    const std::string_view word = words.substr(0, blank);
    words = blank == std::string_view::npos ? std::string_view{} : words.substr(blank + 1);
    if (line.size() + 1 + word.size() > width) {
      text += line + "\n";
      line = concat({indent, "#"});
    }
    line += concat({" ", word});
  }
  return text + line + "\n";
}

class FullVisitor final : public Visitor {
 public:
  explicit FullVisitor(const Availability& available) : available_(available) {}

  void key(const Key& key, Codec& codec) override {
    const bool built = available_.has(key.needs);
    const std::string value = key.example.empty() ? codec.print() : std::string(key.example);
    // Keys that need an example are live only where the file would not load without them.
    const bool live = built && !off_ && (key.example.empty() || is_needed(key.name));
    const bool has_default = key.example.empty();
    std::string words = concat({key.what, has_default ? ". Default: " : " (", key.why, has_default ? "." : ")."});
    if (key.takes == Takes::restart) words += " A change takes a restart.";
    if (!built) words += concat({" Not available yet (", config::words(key.needs), ")."});
    text += comment(indent(), words) + concat({indent(), live ? "" : "#", key.name, " = ", value, "\n"});
  }

  bool enter(const TableKey& table, Held) override {
    const bool built = available_.has(table.needs);
    text += concat(
        {"\n", comment(next_indent(), built ? std::string(table.what) : concat({table.what, " Not available yet."}))});
    // TLS of a listener needs files that are not here.
    const bool needs_files = array_ == "listener" && table.name == "tls";
    off_ = !built || needs_files;
    text += concat({next_indent(), off_ ? "#" : "", headings_.table(table.name), "\n"});
    headings_.push(table.name);
    ++depth_;
    return true;
  }
  void leave() override {
    headings_.pop();
    --depth_;
    off_ = false;
  }
  std::size_t enter_array(const TableKey& table, std::size_t) override {
    if (depth_ == 0) array_ = table.name;
    return 1;
  }
  // One inside of another is an example: without it nothing lacks.
  void item(const TableKey& table, std::size_t) override {
    off_ = depth_ > 0;
    text += concat({"\n", comment(next_indent(), table.what), next_indent(), off_ ? "#" : "", "[",
                    headings_.table(table.name), "]\n"});
    headings_.push(table.name);
    ++depth_;
  }

  std::string text;

 private:
  bool is_needed(std::string_view name) const {
    if (array_ == "listener") return name == "address";
    return name == "upstream" || (array_ == "upstream" && (name == "name" || name == "endpoints"));
  }
  std::string_view indent() const { return depth_ > 1 ? "  " : ""; }
  std::string_view next_indent() const { return depth_ > 0 ? "  " : ""; }

  const Availability& available_;
  Headings headings_;
  std::string_view array_;
  int depth_ = 0;
  bool off_ = false;
};

// '|' would end a cell.
std::string cell(std::string_view text) {
  std::string to;
  for (const char c : text) to += c == '|' ? std::string("\\|") : std::string(1, c);
  return to;
}

class ReferenceVisitor final : public Visitor {
 public:
  explicit ReferenceVisitor(const Availability& available) : available_(available) {}

  void key(const Key& key, Codec& codec) override {
    const std::string value = key.example.empty() ? codec.print() : concat({"e.g. ", key.example});
    const std::string later =
        available_.has(key.needs) ? "" : concat({" *Not available yet (", words(key.needs), ").*"});
    text += concat({"| `", key.name, "` | `", cell(value), "` | ", cell(key.what), later,
                    key.takes == Takes::restart ? " *A change takes a restart.*" : "", " | ", cell(key.why), " |\n"});
  }
  bool enter(const TableKey& table, Held) override {
    heading(headings_.table(table.name), table.what);
    headings_.push(table.name);
    return true;
  }
  void leave() override { headings_.pop(); }
  std::size_t enter_array(const TableKey&, std::size_t) override { return 1; }
  void item(const TableKey& table, std::size_t) override {
    heading(concat({"[", headings_.table(table.name), "]"}), table.what);
    headings_.push(table.name);
  }

  std::string text;

 private:
  void heading(std::string_view name, std::string_view what) {
    text += concat(
        {"\n### `", name, "`\n", what, "\n\n| key | default | meaning | why this default |\n|---|---|---|---|\n"});
  }

  const Availability& available_;
  Headings headings_;
};

}  // namespace

std::string dump(const Snapshot& snapshot, const Availability& available) {
  Snapshot copy = snapshot;
  for (route::RouteOptions& route : copy.routes) {
    hide(route.headers);
    hide(route.request_headers.set);
    hide(route.request_headers.add);
    hide(route.response_headers.set);
    hide(route.response_headers.add);
  }
  DumpVisitor visitor(available);
  visit(visitor, copy, available);
  return visitor.text.empty() ? visitor.text : visitor.text.substr(1);
}

std::string full_toml(const Availability& available) {
  FullVisitor visitor(available);
  Snapshot defaults;
  visit(visitor, defaults, available);
  return concat(
      {"# Every key of sluice.toml with its default and the reason for it. A line that starts with '#' and no blank is "
       "a key that has no\n"
       "# default (an example stands there), or one that is not available yet. Written by the schema: see "
       "docs/configuration.md.\n",
       visitor.text});
}

std::string reference(const Availability& available) {
  ReferenceVisitor visitor(available);
  Snapshot defaults;
  visit(visitor, defaults, available);
  return visitor.text;
}

}  // namespace sluice::config
