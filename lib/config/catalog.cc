// Lists made from the schema; see catalog.h.
#include "config/catalog.h"

#include <map>

namespace sluice::config {
namespace {

class HomesVisitor final : public Visitor {
 public:
  void key(const Key& key, Codec&) override { found[std::string(key.name)].push_back(sections_.back()); }
  bool enter(const TableKey& table, Held) override {
    if (!sections_.back().empty()) found[std::string(table.name)].push_back(sections_.back());
    sections_.push_back(inside(table.name));
    return true;
  }
  void leave() override { sections_.pop_back(); }
  std::size_t enter_array(const TableKey&, std::size_t) override { return 1; }
  void item(const TableKey& table, std::size_t) override {
    if (!sections_.back().empty()) found[std::string(table.name)].push_back(sections_.back());
    sections_.push_back(concat({"[", inside(table.name), "]"}));
  }

  std::map<std::string, std::vector<std::string>, std::less<>> found;

 private:
  // "upstream.pool", of the innermost section.
  std::string inside(std::string_view name) const {
    const std::string& outer = sections_.back();
    const std::string inner = outer.starts_with('[') ? outer.substr(1, outer.size() - 2) : outer;
    return inner.empty() ? std::string(name) : concat({inner, ".", name});
  }

  std::vector<std::string> sections_{""};
};

class SettingsVisitor final : public Visitor {
 public:
  SettingsVisitor(const Snapshot& snapshot, const Availability& available, std::vector<Setting>& to)
      : snapshot_(snapshot), available_(available), to_(to) {}

  void key(const Key& key, Codec& codec) override {
    Force force = absent_ != 0 ? Force::table_absent : Force::yes;
    if (!available_.has(key.needs)) force = Force::not_built;
    to_.push_back({path_ + std::string(key.name), place_ + std::string(key.name), codec.print(), key, force});
  }
  bool enter(const TableKey& table, Held held) override {
    save();
    if (absent_ != 0 || held == Held::no) ++absent_;
    path_ += concat({table.name, "."});
    place_ += concat({table.name, "."});
    return true;
  }
  void leave() override {
    if (absent_ != 0) --absent_;
    path_.resize(saved_.back().path);
    place_.resize(saved_.back().place);
    saved_.pop_back();
  }
  std::size_t enter_array(const TableKey&, std::size_t held) override { return held; }
  void item(const TableKey& table, std::size_t index) override {
    save();
    if (saved_.size() == 1) outermost_ = index;
    path_ += concat({table.name, ".", name_of(table.name, index), "."});
    place_ += concat({table.name, "[", std::to_string(index), "]."});
  }

 private:
  struct Sizes {
    std::size_t path;
    std::size_t place;
  };

  void save() { saved_.push_back({path_.size(), place_.size()}); }
  const std::string& name_of(std::string_view table, std::size_t index) const {
    if (table == "listener") return snapshot_.listeners[index].name;
    if (table == "upstream") return snapshot_.upstreams[index].name;
    if (table == "pool_class") return snapshot_.upstreams[outermost_].pool_classes[index].name;
    return snapshot_.routes[index].name;
  }

  const Snapshot& snapshot_;
  const Availability& available_;
  std::vector<Setting>& to_;
  std::string path_;
  std::string place_;
  std::vector<Sizes> saved_;
  std::size_t outermost_ = 0;  // index of the item that others are in
  std::size_t absent_ = 0;  // depth inside an absent table
};

}  // namespace

const std::vector<std::string>& homes(std::string_view key) {
  static const auto all = [] {
    HomesVisitor visitor;
    Snapshot scratch;
    visit(visitor, scratch, Availability::everything());
    return std::move(visitor.found);
  }();
  static const std::vector<std::string> none;
  const auto found = all.find(key);
  return found == all.end() ? none : found->second;
}

std::vector<Setting> settings(const Snapshot& snapshot, const Availability& available) {
  std::vector<Setting> list = all_settings(snapshot, available);
  std::erase_if(list, [](const Setting& setting) { return setting.force != Force::yes; });
  return list;
}

std::vector<Setting> all_settings(const Snapshot& snapshot, const Availability& available) {
  std::vector<Setting> list;
  Snapshot copy = snapshot;  // a Visitor may write; this one only prints
  SettingsVisitor visitor(copy, available, list);
  visit(visitor, copy, available);
  return list;
}

}  // namespace sluice::config
