// The loading Visitor: takes each key of the schema from the tree, and complains of what the schema does not know; see
// load.h.
#include "config/load.h"

#include <algorithm>

#include "base/check.h"
#include "config/catalog.h"
#include "config/check.h"
#include "config/schema.h"

namespace sluice::config {
namespace {

class LoadVisitor final : public Visitor {
 public:
  // `origins` may be null.
  LoadVisitor(const Node& root, Report& report, const Availability& available, Origins* origins)
      : report_(report), origins_(origins), reader_(report, available) {
    frames_.push_back({&root, "", "", {}, nullptr});
  }

  void finish() {
    CHECK(frames_.size() == 1);
    report_unknown();
  }

  void key(const Key& key, Codec& codec) override {
    const Member* member = take(key.name);
    if (member == nullptr) return;
    if (!reader_.available(member->at, key.needs, key.name)) return;
    if (origins_ != nullptr) origins_->emplace(path_of(key.name), member->at);
    reader_.start(key.name);
    codec.read(member->value, reader_);
  }

  bool enter(const TableKey& table, Held) override {
    const Member* member = take(table.name);
    if (member == nullptr) return false;
    if (!reader_.available(member->at, table.needs, section_of(table.name))) return false;
    if (member->value.kind != Kind::table) {
      const bool doubled = member->value.kind == Kind::array && !member->value.items.empty() &&
                           member->value.items.front().kind == Kind::table;
      report_.error(member->at, concat({table.name, " is a table, not ", kind_words(member->value.kind)}),
                    doubled || frames_.size() == 1 ? concat({"[", section_of(table.name), "]"}) : "");
      return false;
    }
    push(member->value, path_of(table.name), section_of(table.name));
    return true;
  }

  void leave() override {
    report_unknown();
    frames_.pop_back();
    CHECK(!frames_.empty());
  }

  std::size_t enter_array(const TableKey& table, std::size_t) override {
    const Member* member = take(table.name);
    if (member == nullptr) return 0;
    if (member->value.kind != Kind::array) {
      report_.error(member->at, concat({"there may be several of ", table.name, ": it is an array of tables"}),
                    concat({"[[", section_of(table.name), "]]"}));
      return 0;
    }
    frames_.back().array = &member->value.items;
    return member->value.items.size();
  }

  void item(const TableKey& table, std::size_t index) override {
    const Node& node = (*frames_.back().array)[index];
    if (node.kind != Kind::table)
      report_.error(node.at, concat({table.name, " is an array of tables, not of ", kind_words(node.kind)}));
    push(node, concat({path_of(table.name), "[", std::to_string(index), "]"}),
         concat({"[", section_of(table.name), "]"}));
  }

 private:
  struct Frame {
    const Node* table;
    std::string path;  // "listener[0].tls"
    std::string section;  // "listener.tls", "[listener]" for the item itself
    std::vector<std::string_view> known;
    const std::vector<Node>* array = nullptr;  // of tables, in this one: the one whose items are visited
  };

  void push(const Node& table, std::string path, std::string section) {
    if (origins_ != nullptr) origins_->emplace(path, table.at);
    frames_.push_back({&table, std::move(path), std::move(section), {}, nullptr});
  }

  const Member* take(std::string_view name) {
    Frame& frame = frames_.back();
    frame.known.push_back(name);
    return frame.table->kind == Kind::table ? frame.table->find(name) : nullptr;
  }

  std::string path_of(std::string_view name) const {
    const std::string& path = frames_.back().path;
    return path.empty() ? std::string(name) : concat({path, ".", name});
  }

  std::string section_of(std::string_view name) const {
    std::string_view section = frames_.back().section;
    if (section.starts_with('[')) section = section.substr(1, section.size() - 2);
    return section.empty() ? std::string(name) : concat({section, ".", name});
  }

  void report_unknown() {
    const Frame& frame = frames_.back();
    if (frame.table->kind != Kind::table) return;
    for (const Member& member : frame.table->members) {
      if (std::find(frame.known.begin(), frame.known.end(), member.key) != frame.known.end()) continue;
      unknown(frame, member);
    }
  }

  void unknown(const Frame& frame, const Member& member) {
    if (report_.full()) return report_.error(member.at, "unknown key");
    const std::string place =
        frame.section.empty() ? std::string(" at the top of the file") : concat({" in [", frame.section, "]"});
    std::string message = concat({"unknown key ", quoted(member.key), place});
    const std::string home = home_of(member.key, frame.section);
    if (!home.empty()) return report_.error(member.at, concat({message, ": it belongs in [", home, "]"}));
    report_.error(member.at, std::move(message), std::string(nearest(member.key, frame.known)));
  }

  // Where a key of exactly this name belongs, if there is such a place; the same listener, upstream or route first.
  static std::string home_of(std::string_view key, std::string_view section) {
    const std::vector<std::string>& places = homes(key);
    const std::string_view inner = section.starts_with('[') ? section.substr(1, section.size() - 2) : section;
    const std::string_view root = inner.substr(0, inner.find('.'));
    for (const std::string& place : places) {
      const std::string_view name =
          place.starts_with('[') ? std::string_view(place).substr(1) : std::string_view(place);
      if (!root.empty() && name.starts_with(root)) return place;
    }
    return places.size() == 1 ? places.front() : std::string();
  }

  Report& report_;
  Origins* origins_;
  Reader reader_;
  std::vector<Frame> frames_;
};

}  // namespace

std::expected<Loaded, Problems> load(const Source& source, const LoadOptions& options) {
  const auto root = parse(source);
  if (!root) return std::unexpected(Problems{root.error()});
  Report report(source);
  Loaded loaded;
  loaded.file = source.name();
  auto snapshot = std::make_shared<Snapshot>();
  LoadVisitor visitor(*root, report, options.available, options.record == Record::origins ? &loaded.origins : nullptr);
  visit(visitor, *snapshot, options.available);
  visitor.finish();
  check(*snapshot, *root, report, options.files);
  const bool failed = report.failed();
  Problems problems = report.take();
  if (failed) return std::unexpected(std::move(problems));
  loaded.warnings = std::move(problems);
  loaded.snapshot = std::move(snapshot);
  return loaded;
}

std::expected<Loaded, Problems> load_file(const std::string& path, const LoadOptions& options) {
  const auto source = Source::read(path);
  if (!source) return std::unexpected(Problems{source.error()});
  return load(*source, options);
}

}  // namespace sluice::config
