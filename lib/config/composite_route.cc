// Codecs of what a route matches, does and edits; see composite.h.
#include <algorithm>

#include "base/check.h"
#include "base/text.h"
#include "config/composite.h"
#include "exchange/error_pages.h"
#include "http/failure.h"
#include "route/path.h"
#include "route/regex.h"

namespace sluice::config {
namespace {

constexpr std::int64_t weight_max = 65'535;
constexpr std::size_t respond_body_max = 1024 * 1024;

std::string_view key_of(route::PathMatch match) {
  switch (match) {
    case route::PathMatch::any: return "";
    case route::PathMatch::exact: return "path";
    case route::PathMatch::prefix: return "path_prefix";
    case route::PathMatch::regex: return "path_regex";
  }
  return "";
}

// Fields that frame a message or belong to one connection: an edit of them would make two peers read two messages.
bool is_framing(std::string_view name) {
  constexpr std::string_view framing[] = {"connection", "content-length",    "host",
                                          "keep-alive", "proxy-connection",  "te",
                                          "trailer",    "transfer-encoding", "upgrade"};
  return std::find(std::begin(framing), std::end(framing), name) != std::end(framing);
}

enum class Edits : std::uint8_t { no, yes };

// A field name, lower case; nullopt with a complaint.
std::optional<std::string> read_field_name(std::string_view text, Position at, Reader& reader, Edits edits) {
  if (const std::string wrong = field_name(text); !wrong.empty()) {
    reader.error(at, wrong);
    return std::nullopt;
  }
  std::string name = base::to_lower(text);
  if (edits == Edits::yes && is_framing(name)) {
    reader.error(at, concat({"must not edit ", name, ": it frames the message or belongs to the connection"}));
    return std::nullopt;
  }
  return name;
}

void read_values(const Node& node, Reader& reader, std::vector<route::HeaderValue>& to, Edits edits) {
  if (node.kind != Kind::table) return reader.wrong_type(node, "a table { NAME = \"VALUE\" }");
  to.clear();
  for (const Member& member : node.members) {
    const auto name = read_field_name(member.key, member.at, reader, edits);
    const auto add = [&](const Node& value) {
      const auto text = read_text(value, reader, "values in quotes");
      if (!text) return;
      if (const std::string wrong = field_value(*text); !wrong.empty()) return reader.error(value.at, wrong);
      if (name) to.push_back({*name, std::string(*text)});
    };
    if (member.value.kind == Kind::array && edits == Edits::yes) {
      for (const Node& item : member.value.items) add(item);
    } else {
      add(member.value);
    }
  }
}

std::string print_values(const std::vector<route::HeaderValue>& values) {
  std::string text = "{";
  for (std::size_t i = 0; i < values.size();) {
    std::size_t end = i + 1;
    while (end < values.size() && values[end].name == values[i].name) ++end;
    text += concat({i == 0 ? " " : ", ", quoted(values[i].name), " = "});
    if (end - i == 1) {
      text += quoted(values[i].value);
    } else {
      std::vector<std::string> items;
      for (std::size_t j = i; j < end; ++j) items.push_back(values[j].value);
      text += print_list(items);
    }
    i = end;
  }
  return text + (values.empty() ? "}" : " }");
}

bool is_redirect(std::int64_t status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// "" or what is wrong with the braces of a redirect's target; `suggestion`: what may have been meant.
std::string wrong_placeholder(std::string_view to, std::string& suggestion) {
  static const std::vector<std::string_view> known{"{host}", "{authority}", "{path}", "{query}"};
  for (std::size_t at = 0; at < to.size(); ++at) {
    if (to[at] == '}') return "has a '}' without a '{'";
    if (to[at] != '{') continue;
    const std::size_t end = to.find('}', at);
    if (end == std::string_view::npos) return "has a '{' without a '}'";
    const std::string_view name = to.substr(at, end - at + 1);
    if (std::find(std::begin(known), std::end(known), name) == std::end(known)) {
      suggestion = nearest(name, known);
      return concat({"knows {host}, {authority}, {path} and {query}, not ", name});
    }
    at = end;
  }
  return "";
}

}  // namespace

void PathRule::read(const Node& node, Reader& reader) {
  const auto text = read_text(node, reader);
  if (!text) return;
  if (to_.path_match != route::PathMatch::any && to_.path_match != match_) {
    return reader.error(node.at, concat({"cannot stand beside ", key_of(to_.path_match),
                                         ": a route has one of path, path_prefix, path_regex"}));
  }
  const std::string wrong = match_ == route::PathMatch::regex ? some_text(*text) : path_text(*text);
  if (!wrong.empty()) return reader.error(node.at, wrong);
  base::Arena arena;
  if (match_ != route::PathMatch::regex && route::normalise(*text, arena, arena).deceptive) {
    return reader.error(node.at,
                        "fits no request: a broken escape, a control character, or a dot segment beside %2F, %5C or "
                        "';' is answered 400");
  }
  if (match_ == route::PathMatch::regex) {
    const auto compiled = route::Regex::compile(*text);
    if (!compiled) return reader.error(node.at, concat({"does not compile: ", compiled.error().message}));
  }
  to_.path_match = match_;
  to_.path = *text;
}

void HeaderValues::read(const Node& node, Reader& reader) { read_values(node, reader, to_, Edits::no); }

std::string HeaderValues::print() const { return print_values(to_); }

void HeaderEditsCodec::read(const Node& node, Reader& reader) {
  InlineTable table(node, reader, {"set", "add", "remove"});
  if (!table.good()) return;
  if (const Node* set = table.find("set")) read_values(*set, reader, to_.set, Edits::yes);
  if (const Node* add = table.find("add")) read_values(*add, reader, to_.add, Edits::yes);
  const Node* remove = table.find("remove");
  if (remove == nullptr) return;
  const auto* items = read_array(*remove, reader, "an array of field names in `remove`");
  if (items == nullptr) return;
  to_.remove.clear();
  for (const Node& item : *items) {
    const auto text = read_text(item, reader);
    if (!text) continue;
    if (auto name = read_field_name(*text, item.at, reader, Edits::yes)) to_.remove.push_back(std::move(*name));
  }
}

std::string HeaderEditsCodec::print() const {
  return concat({"{ set = ", print_values(to_.set), ", add = ", print_values(to_.add),
                 ", remove = ", print_list(to_.remove), " }"});
}

void TargetUpstream::read(const Node& node, Reader& reader) {
  const auto text = read_text(node, reader, "the name of an upstream");
  if (!text) return;
  to_.action = route::Action::proxy;
  to_.targets = {route::Target{.upstream = std::string(*text)}};
}

std::string TargetUpstream::print() const {
  const bool one = to_.action == route::Action::proxy && to_.targets.size() == 1 && to_.targets.front().weight == 1;
  return one ? quoted(to_.targets.front().upstream) : "";
}

void SplitTargets::read(const Node& node, Reader& reader) {
  const auto* items = read_array(node, reader, "an array of tables [{ upstream = \"NAME\", weight = 1 }]");
  if (items == nullptr) return;
  std::vector<route::Target> targets;
  std::uint64_t sum = 0;
  for (const Node& item : *items) {
    InlineTable table(item, reader, {"upstream", "weight"});
    if (!table.good()) continue;
    route::Target target;
    if (const Node* name = table.need("upstream")) Text(target.upstream, some_text).read(*name, reader);
    if (const Node* weight = table.find("weight")) Number(target.weight, 0, weight_max).read(*weight, reader);
    sum += target.weight;
    targets.push_back(std::move(target));
  }
  if (sum == 0) return reader.error(node.at, "needs at least one upstream with a weight above 0");
  to_.action = route::Action::proxy;
  to_.targets = std::move(targets);
}

std::string SplitTargets::print() const {
  const bool one = to_.targets.size() == 1 && to_.targets.front().weight == 1;
  if (to_.action != route::Action::proxy || to_.targets.empty() || one) return "";
  std::string text = "[";
  for (const route::Target& target : to_.targets) {
    text += concat({text.size() > 1 ? ", " : "", "{ upstream = ", quoted(target.upstream),
                    ", weight = ", std::to_string(target.weight), " }"});
  }
  return text + "]";
}

void RedirectTo::read(const Node& node, Reader& reader) {
  InlineTable table(node, reader, {"to", "status"});
  if (!table.good()) return;
  route::Redirect redirect;
  if (const Node* to = table.need("to")) {
    Text(redirect.to, some_text).read(*to, reader);
    if (!redirect.to.empty()) {
      std::string wrong = field_value(redirect.to);
      if (wrong.empty() && redirect.to.find(' ') != std::string::npos) wrong = "holds a blank, which no Location may";
      std::string suggestion;
      if (wrong.empty()) wrong = wrong_placeholder(redirect.to, suggestion);
      if (!wrong.empty()) reader.error(to->at, wrong, std::move(suggestion));
    }
  }
  if (const Node* status = table.find("status")) {
    if (const auto value = read_integer(*status, reader, 300, 399)) {
      if (!is_redirect(*value)) reader.error(status->at, "takes status 301, 302, 303, 307 or 308");
      redirect.status = static_cast<std::uint16_t>(*value);
    }
  }
  to_.action = route::Action::redirect;
  to_.redirect = std::move(redirect);
}

std::string RedirectTo::print() const {
  if (to_.action != route::Action::redirect) return "";
  return concat({"{ to = ", quoted(to_.redirect.to), ", status = ", std::to_string(to_.redirect.status), " }"});
}

namespace {

std::optional<route::Respond> read_respond(const Node& node, Reader& reader) {
  InlineTable table(node, reader, {"status", "body"});
  if (!table.good()) return std::nullopt;
  route::Respond respond;
  if (const Node* status = table.find("status")) Number(respond.status, 200, 599).read(*status, reader);
  if (const Node* body = table.find("body")) {
    Text(respond.body).read(*body, reader);
    if (respond.body.size() > respond_body_max) reader.error(body->at, "has a body of more than 1 MiB");
    const bool bodiless = respond.status == 204 || respond.status == 205 || respond.status == 304;
    if (bodiless && !respond.body.empty())
      reader.error(body->at, concat({"has a body, which status ", std::to_string(respond.status), " cannot have"}));
  }
  return respond;
}

std::string print_respond(const route::Respond& respond) {
  return concat({"{ status = ", std::to_string(respond.status), ", body = ", quoted(respond.body), " }"});
}

}  // namespace

void RespondWith::read(const Node& node, Reader& reader) {
  auto respond = read_respond(node, reader);
  if (!respond) return;
  to_.action = route::Action::respond;
  to_.respond = std::move(*respond);
}

std::string RespondWith::print() const {
  return to_.action == route::Action::respond ? print_respond(to_.respond) : "";
}

void FallbackCodec::read(const Node& node, Reader& reader) {
  InlineTable table(node, reader, {"upstream", "respond"});
  if (!table.good()) return;
  route::Fallback fallback;
  const Node* const upstream = table.find("upstream");
  if (upstream != nullptr) Text(fallback.upstream, some_text).read(*upstream, reader);
  const Node* const respond = table.find("respond");
  if (respond != nullptr) fallback.respond = read_respond(*respond, reader).value_or(route::Respond{});
  reader.start("fallback");
  if ((upstream == nullptr) == (respond == nullptr)) return reader.error(node.at, "needs one of upstream, respond");
  to_ = std::move(fallback);
}

std::string FallbackCodec::print() const {
  if (!to_) return "";
  if (to_->upstream.empty()) return concat({"{ respond = ", print_respond(to_->respond), " }"});
  return concat({"{ upstream = ", quoted(to_->upstream), " }"});
}

namespace {

// 404, or 4 for "4xx"; 0 with a complaint.
std::uint16_t read_page_status(const Member& member, Reader& reader) {
  const std::string_view key = member.key;
  if (key == "4xx" || key == "5xx") return key == "4xx" ? 4 : 5;
  const auto status = base::parse_u64(key);
  if (!status || key.size() != 3 || *status < 100 || *status > 599) {
    reader.error(member.at, concat({"has the key ", quoted(key), ", which is no status: \"404\", \"4xx\", \"5xx\""}));
    return 0;
  }
  if (http::is_told(static_cast<std::uint16_t>(*status))) return static_cast<std::uint16_t>(*status);
  reader.error(member.at, concat({"has the key ", key,
                                  ", which is no failure that sluice tells itself: what an upstream answers passes"}));
  return 0;
}

std::string page_key(std::uint16_t status) {
  return status < 10 ? concat({std::to_string(status), "xx"}) : std::to_string(status);
}

}  // namespace

void ErrorPagesCodec::read(const Node& node, Reader& reader) {
  if (node.kind != Kind::table) return reader.wrong_type(node, "a table { 404 = \"FILE\", 5xx = \"FILE\" }");
  to_.clear();
  for (const Member& member : node.members) {
    route::ErrorPageFile page;
    page.status = read_page_status(member, reader);
    if (member.value.kind == Kind::text && member.value.text.empty()) {
      reader.error(member.value.at, "must not be empty");
      continue;
    }
    FilePath(page.file).read(member.value, reader);
    if (page.status == 0 || page.file.empty()) continue;
    if (exchange::page_type(page.file).empty())
      reader.error(member.value.at, "takes files that end in .html, .json or .txt, which says their content type");
    to_.push_back(std::move(page));
  }
}

std::string ErrorPagesCodec::print() const {
  std::string text = "{";
  for (const route::ErrorPageFile& page : to_)
    text += concat({text.size() > 1 ? ", " : " ", page_key(page.status), " = ", quoted(page.file)});
  return text + (to_.empty() ? "}" : " }");
}

void AllowedClients::read(const Node& node, Reader& reader) {
  if (node.kind == Kind::array && node.items.empty()) {
    return reader.error(node.at, "= [] would refuse everybody: leave the key out to allow all");
  }
  std::vector<net::Cidr> blocks;
  Cidrs(blocks).read(node, reader);
  to_ = std::move(blocks);
}

std::string AllowedClients::print() const { return to_ ? Cidrs(*to_).print() : ""; }

}  // namespace sluice::config
