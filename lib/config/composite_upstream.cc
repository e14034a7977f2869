// Codecs of addresses, certificates and the settings of upstreams; see composite.h.
#include <algorithm>
#include <array>
#include <iterator>

#include "base/text.h"
#include "config/composite.h"

namespace sluice::config {
namespace {

constexpr std::int64_t weight_max = 65'535;

// An address with its port; complains otherwise.
std::optional<net::Address> read_address(const Node& node, Reader& reader, std::string_view text) {
  auto address = net::Address::parse(text);
  if (address) return *address;
  std::string suggestion = std::move(address.error().suggestion);
  if (suggestion.empty() && base::parse_u64(text)) suggestion = concat({"0.0.0.0:", text});
  if (suggestion.empty() && text.starts_with(':')) suggestion = concat({"0.0.0.0", text});
  if (suggestion.empty() && text.starts_with("*:")) suggestion = concat({"0.0.0.0", text.substr(1)});
  if (suggestion.empty() && text.starts_with("localhost:")) suggestion = concat({"127.0.0.1", text.substr(9)});
  reader.error(node.at, concat({"is no address: ", address.error().message}), std::move(suggestion));
  return std::nullopt;
}

bool has_scheme(std::string_view text) { return text.find("://") != std::string_view::npos; }

}  // namespace

InlineTable::InlineTable(const Node& node, Reader& reader, std::vector<std::string_view> known)
    : node_(node), reader_(reader), base_(reader.key()), good_(node.kind == Kind::table) {
  if (!good_) {
    std::string shape = "a table { ";
    for (std::size_t i = 0; i < known.size(); ++i) shape += concat({i == 0 ? "" : ", ", known[i], " = ..."});
    reader.wrong_type(node, shape + " }");
    return;
  }
  for (const Member& member : node.members) {
    if (std::find(known.begin(), known.end(), member.key) != known.end()) continue;
    reader.error(member.at, concat({"has no key ", quoted(member.key)}), std::string(nearest(member.key, known)));
  }
}

const Node* InlineTable::find(std::string_view key) {
  label_ = concat({base_, ".", key});
  const Member* member = node_.find(key);
  reader_.start(member == nullptr ? base_ : label_);
  return member == nullptr ? nullptr : &member->value;
}

const Node* InlineTable::need(std::string_view key) {
  const Node* node = find(key);
  if (node == nullptr) reader_.error(node_.at, concat({"needs ", key}));
  return node;
}

void ListenAddresses::read(const Node& node, Reader& reader) {
  const auto add = [&](const Node& item) {
    const auto text = read_text(item, reader, "an address in quotes, such as \"0.0.0.0:8080\"");
    if (!text) return;
    if (auto address = read_address(item, reader, *text)) to_.push_back({std::string(*text), std::move(*address)});
  };
  to_.clear();
  if (node.kind != Kind::array) return add(node);
  if (node.items.empty()) reader.error(node.at, "must name at least one address");
  for (const Node& item : node.items) add(item);
}

std::string ListenAddresses::print() const {
  if (to_.size() == 1) return quoted(to_.front().text);
  std::vector<std::string> items;
  for (const ListenAddress& address : to_) items.push_back(address.text);
  return print_list(items);
}

void FileMode::read(const Node& node, Reader& reader) {
  constexpr std::string_view wanted = "octal digits in quotes, such as \"0660\"";
  const auto text = read_text(node, reader, wanted);
  if (!text) return;
  std::string_view digits = *text;
  if (digits.size() == 4 && digits.front() == '0') digits.remove_prefix(1);
  const bool octal = digits.size() == 3 && digits.find_first_not_of("01234567") == std::string_view::npos;
  if (!octal) return reader.error(node.at, concat({"takes ", wanted, ", from \"0000\" to \"0777\""}));
  to_ = 0;
  for (const char digit : digits) to_ = to_ * 8 + static_cast<std::uint32_t>(digit - '0');
}

std::string FileMode::print() const {
  std::string digits = "\"0000\"";
  for (std::size_t i = 0; i < 3; ++i) digits[4 - i] = static_cast<char>('0' + (to_ >> (3 * i) & 7));
  return digits;
}

void AdminAddress::read(const Node& node, Reader& reader) {
  const auto text = read_text(node, reader);
  if (!text) return;
  if (text->empty()) {
    to_.address.clear();
    to_.parsed.reset();
    return;
  }
  auto address = read_address(node, reader, *text);
  if (!address) return;
  to_.address = *text;
  to_.parsed = std::move(*address);
}

void ServerAddresses::read(const Node& node, Reader& reader) {
  const auto* items = read_array(node, reader, "an array of addresses, such as [\"127.0.0.1:53\"]");
  if (items == nullptr) return;
  to_.clear();
  for (const Node& item : *items) {
    const auto text = read_text(item, reader);
    if (!text) continue;
    const auto address = read_address(item, reader, *text);
    if (!address) continue;
    if (!address->is_ip() || address->port() == 0) {
      reader.error(item.at, "takes IP addresses with a port");
      continue;
    }
    to_.emplace_back(*text);
  }
}

void SourceAddresses::read(const Node& node, Reader& reader) {
  const auto* items = read_array(node, reader, "an array of IP addresses");
  if (items == nullptr) return;
  to_.clear();
  for (const Node& item : *items) {
    const auto text = read_text(item, reader);
    if (!text) continue;
    const auto address = net::Address::parse_ip(*text);
    if (address) {
      to_.push_back(*address);
    } else {
      reader.error(item.at, concat({"takes IP addresses without a port, not ", quoted(*text)}));
    }
  }
}

std::string SourceAddresses::print() const {
  std::vector<std::string> items;
  for (const net::Address& address : to_) items.push_back(address.ip_text());
  return print_list(items);
}

void AccessLogTarget::read(const Node& node, Reader& reader) {
  const auto text = read_text(node, reader, "\"stdout\", \"off\" or a file's path");
  if (!text) return;
  if (text->empty()) return reader.error(node.at, "must not be empty: \"off\" writes none", "off");
  to_.path.clear();
  if (*text == "stdout") {
    to_.output = exchange::AccessLogOutput::standard_output;
  } else if (*text == "off") {
    to_.output = exchange::AccessLogOutput::off;
  } else if (text->find('/') == std::string_view::npos && !nearest(*text, {"stdout", "off"}).empty()) {
    reader.error(
        node.at,
        concat({quoted(*text), " is neither \"stdout\" nor \"off\"; a file of that name is written \"./", *text, "\""}),
        std::string(nearest(*text, {"stdout", "off"})));
  } else {
    to_.output = exchange::AccessLogOutput::file;
    to_.path = reader.resolve_path(*text);
  }
}

std::string AccessLogTarget::print() const {
  switch (to_.output) {
    case exchange::AccessLogOutput::standard_output: return "\"stdout\"";
    case exchange::AccessLogOutput::off: return "\"off\"";
    case exchange::AccessLogOutput::file: return quoted(to_.path);
  }
  return "";
}

void Certificates::read(const Node& node, Reader& reader) {
  const auto* items = read_array(node, reader, "an array of tables [{ cert = \"FILE\", key = \"FILE\" }]");
  if (items == nullptr) return;
  if (items->empty()) return reader.error(node.at, "must name at least one certificate");
  to_.clear();
  for (const Node& item : *items) {
    InlineTable table(item, reader, {"cert", "key"});
    if (!table.good()) continue;
    tls::CertificateFiles files;
    const auto read_file = [&](std::string_view name, std::string& to) {
      const Node* file = table.need(name);
      if (file == nullptr) return;
      FilePath(to).read(*file, reader);
      if (file->kind == Kind::text && to.empty()) reader.error(file->at, "must not be empty");
    };
    read_file("cert", files.cert);
    read_file("key", files.key);
    to_.push_back(std::move(files));
  }
}

std::string Certificates::print() const {
  std::string text = "[";
  for (const tls::CertificateFiles& files : to_) {
    text += concat({text.size() > 1 ? ", " : "", "{ cert = ", quoted(files.cert), ", key = ", quoted(files.key), " }"});
  }
  return text + "]";
}

void Endpoints::read(const Node& node, Reader& reader) {
  const auto* items = read_array(node, reader, "an array of addresses, such as [\"127.0.0.1:3000\"]");
  if (items == nullptr) return;
  if (items->empty()) return reader.error(node.at, "must name at least one endpoint");
  to_.clear();
  for (const Node& item : *items) {
    upstream::EndpointSpec endpoint;
    const Node* where = &item;
    if (item.kind == Kind::table) {
      InlineTable table(item, reader, {"address", "weight"});
      if (const Node* weight = table.find("weight")) Number(endpoint.weight, 1, weight_max).read(*weight, reader);
      where = table.need("address");
      if (where == nullptr) continue;
    }
    const auto text = read_text(*where, reader, "an address in quotes or { address = \"...\", weight = 2 }");
    if (!text) continue;
    endpoint.name = *text;
    if (has_scheme(*text)) {
      const std::string_view rest = text->substr(text->find("://") + 3);
      reader.error(where->at, "takes addresses, not URLs: [upstream.tls] turns TLS on",
                   std::string(rest.substr(0, rest.find('/'))));
      continue;
    }
    if (auto address = net::Address::parse(*text)) {
      if (address->is_ip() && address->port() == 0) {
        reader.error(where->at, "needs a port above 0");
        continue;
      }
      endpoint.address = std::move(*address);
    } else if (name_and_port(*text).empty() &&
               std::any_of(text->begin(), text->begin() + static_cast<std::ptrdiff_t>(text->rfind(':')),
                           [](char c) { return base::to_lower(c) >= 'a' && base::to_lower(c) <= 'z'; })) {
      if (!reader.available(where->at, Feature::dns, concat({"a name in endpoints (", quoted(*text), ")"}))) continue;
    } else {
      reader.error(where->at, concat({"holds no address: ", address.error().message}),
                   std::move(address.error().suggestion));
      continue;
    }
    to_.push_back(std::move(endpoint));
  }
}

std::string Endpoints::print() const {
  if (to_.empty()) return "";
  std::string text = "[";
  for (const upstream::EndpointSpec& endpoint : to_) {
    text += text.size() > 1 ? ", " : "";
    if (endpoint.weight == 1) {
      text += quoted(endpoint.name);
    } else {
      text += concat({"{ address = ", quoted(endpoint.name), ", weight = ", std::to_string(endpoint.weight), " }"});
    }
  }
  return text + "]";
}

void UpstreamHost::read(const Node& node, Reader& reader) {
  const auto text = read_text(node, reader, "\"preserve\", \"endpoint\" or a host name");
  if (!text) return;
  if (*text == "preserve" || *text == "endpoint") {
    to_.host = *text == "preserve" ? upstream::HostMode::preserve : upstream::HostMode::endpoint;
    to_.host_name.clear();
    return;
  }
  const std::string_view near = nearest(*text, {"preserve", "endpoint"});
  if (!near.empty()) return reader.error(node.at, "is \"preserve\", \"endpoint\" or a host name", std::string(near));
  if (const std::string wrong = host_name(*text); !wrong.empty()) return reader.error(node.at, wrong);
  to_.host = upstream::HostMode::literal;
  to_.host_name = *text;
}

std::string UpstreamHost::print() const {
  switch (to_.host) {
    case upstream::HostMode::preserve: return "\"preserve\"";
    case upstream::HostMode::endpoint: return "\"endpoint\"";
    case upstream::HostMode::literal: return quoted(to_.host_name);
  }
  return "";
}

namespace {

struct HashPrefix {
  std::string_view words;
  upstream::HashOn on;
};
constexpr HashPrefix hash_prefixes[] = {
    {"header:", upstream::HashOn::header}, {"cookie:", upstream::HashOn::cookie}, {"query:", upstream::HashOn::query}};

}  // namespace

void HashKey::read(const Node& node, Reader& reader) {
  constexpr std::string_view wanted = "\"client_ip\", \"header:NAME\", \"cookie:NAME\", \"query:NAME\" or \"path\"";
  const auto text = read_text(node, reader, wanted);
  if (!text) return;
  if (*text == "client_ip" || *text == "path") {
    to_.hash_on = *text == "path" ? upstream::HashOn::path : upstream::HashOn::client_ip;
    to_.hash_name.clear();
    return;
  }
  const auto found = std::ranges::find_if(hash_prefixes, [&](const auto& p) { return text->starts_with(p.words); });
  if (found == std::end(hash_prefixes)) {
    return reader.error(node.at, concat({"takes ", wanted}), std::string(nearest(*text, {"client_ip", "path"})));
  }
  const std::string_view name = std::string_view(*text).substr(found->words.size());
  if (const std::string wrong = field_name(name); !wrong.empty())
    return reader.error(node.at, concat({"names ", found->words.substr(0, found->words.size() - 1), ": ", wrong}));
  to_.hash_on = found->on;
  to_.hash_name = found->on == upstream::HashOn::header ? base::to_lower(name) : std::string(name);
}

std::string HashKey::print() const {
  if (to_.hash_on == upstream::HashOn::client_ip) return "\"client_ip\"";
  if (to_.hash_on == upstream::HashOn::path) return "\"path\"";
  const auto found = std::ranges::find_if(hash_prefixes, [&](const auto& p) { return p.on == to_.hash_on; });
  return quoted(concat({found->words, to_.hash_name}));
}

void ExpectedStatus::read(const Node& node, Reader& reader) {
  constexpr std::string_view wanted = "takes statuses from 100 to 599, such as \"200-399\" or \"200,204\"";
  if (node.kind != Kind::text) return reader.wrong_type(node, "statuses in quotes, such as \"200-399\"");
  std::vector<upstream::StatusRange> ranges;
  std::string_view rest = node.text;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view part = base::trim_ows(rest.substr(0, comma));
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
    const std::size_t dash = part.find('-');
    const auto first = base::parse_u64(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : base::parse_u64(part.substr(dash + 1));
    if (!first || !last || *first < 100 || *last > 599 || *first > *last) return reader.error(node.at, wanted);
    ranges.push_back({static_cast<std::uint16_t>(*first), static_cast<std::uint16_t>(*last)});
  }
  if (ranges.empty()) return reader.error(node.at, wanted);
  to_ = std::move(ranges);
}

std::string ExpectedStatus::print() const {
  std::string text;
  for (const upstream::StatusRange& range : to_) {
    text += concat({text.empty() ? "" : ",", std::to_string(range.first)});
    if (range.last != range.first) text += concat({"-", std::to_string(range.last)});
  }
  return quoted(text);
}

namespace {

enum class Cause : std::uint8_t { connect, reset, refused_stream, status_503, gateway_error };
constexpr Word cause_words[] = {
    {"connect", static_cast<unsigned>(Cause::connect)},
    {"reset", static_cast<unsigned>(Cause::reset)},
    {"refused_stream", static_cast<unsigned>(Cause::refused_stream), Feature::http2},
    {"503", static_cast<unsigned>(Cause::status_503)},
    {"gateway_error", static_cast<unsigned>(Cause::gateway_error)},
};

}  // namespace

void RetryCauses::read(const Node& node, Reader& reader) {
  const auto* items = read_array(node, reader, "an array of texts");
  if (items == nullptr) return;
  upstream::RetryOn on{.connect = false, .reset = false, .refused_stream = false, .status_503 = false};
  for (const Node& item : *items) {
    const Word* word = read_word(item, reader, cause_words);
    if (word == nullptr) continue;
    switch (static_cast<Cause>(word->value)) {
      case Cause::connect: on.connect = true; break;
      case Cause::reset: on.reset = true; break;
      case Cause::refused_stream: on.refused_stream = true; break;
      case Cause::status_503: on.status_503 = true; break;
      case Cause::gateway_error: on.gateway_error = true; break;
    }
  }
  to_ = on;
}

std::string RetryCauses::print() const {
  std::vector<std::string> items;
  if (to_.connect) items.emplace_back("connect");
  if (to_.reset) items.emplace_back("reset");
  if (to_.refused_stream) items.emplace_back("refused_stream");
  if (to_.status_503) items.emplace_back("503");
  if (to_.gateway_error) items.emplace_back("gateway_error");
  return print_list(items);
}

}  // namespace sluice::config
