// Codecs of values that are more than one plain value: addresses, endpoints, certificates, header edits, what a route
// does. Those that share one option (path, path_prefix, path_regex; upstream, split, redirect, respond) print only the
// key that is in force. See value.h for the contract.
#pragma once

#include "config/snapshot.h"
#include "config/value.h"

namespace sluice::config {

// `address` of a listener: one text or an array.
class ListenAddresses final : public Codec {
 public:
  explicit ListenAddresses(std::vector<ListenAddress>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::vector<ListenAddress>& to_;
};

// `unix_mode`: "0660", the permissions of a file in octal digits.
class FileMode final : public Codec {
 public:
  explicit FileMode(std::uint32_t& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::uint32_t& to_;
};

// `admin.address`: "" or an address.
class AdminAddress final : public Codec {
 public:
  explicit AdminAddress(AdminOptions& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return quoted(to_.address); }

 private:
  AdminOptions& to_;
};

// `dns.servers`: addresses as text, checked.
class ServerAddresses final : public Codec {
 public:
  explicit ServerAddresses(std::vector<std::string>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return print_list(to_); }

 private:
  std::vector<std::string>& to_;
};

// `source_addresses`: bare IPs.
class SourceAddresses final : public Codec {
 public:
  explicit SourceAddresses(std::vector<net::Address>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::vector<net::Address>& to_;
};

class AccessLogTarget final : public Codec {
 public:
  explicit AccessLogTarget(exchange::AccessLogOptions& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  exchange::AccessLogOptions& to_;
};

// `access_log.headers`: "NAME" or "request:NAME", "response:NAME". Those that hold credentials are refused.
class LoggedHeaders final : public Codec {
 public:
  explicit LoggedHeaders(std::vector<exchange::LoggedHeader>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::vector<exchange::LoggedHeader>& to_;
};

class Certificates final : public Codec {
 public:
  explicit Certificates(std::vector<tls::CertificateFiles>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::vector<tls::CertificateFiles>& to_;
};

class Endpoints final : public Codec {
 public:
  explicit Endpoints(std::vector<upstream::EndpointSpec>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::vector<upstream::EndpointSpec>& to_;
};

class UpstreamHost final : public Codec {
 public:
  explicit UpstreamHost(upstream::UpstreamOptions& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  upstream::UpstreamOptions& to_;
};

class HashKey final : public Codec {
 public:
  explicit HashKey(upstream::UpstreamOptions& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  upstream::UpstreamOptions& to_;
};

// `max_connections` of a pool class: a number, or a share ("25%").
class ClassLimit final : public Codec {
 public:
  explicit ClassLimit(upstream::PoolClassOptions& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  upstream::PoolClassOptions& to_;
};

// `expect`: "200-399" or "200,204,300-399".
class ExpectedStatus final : public Codec {
 public:
  explicit ExpectedStatus(std::vector<upstream::StatusRange>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::vector<upstream::StatusRange>& to_;
};

class RetryCauses final : public Codec {
 public:
  explicit RetryCauses(upstream::RetryOn& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  upstream::RetryOn& to_;
};

class PathRule final : public Codec {
 public:
  PathRule(route::RouteOptions& to, route::PathMatch match) : to_(to), match_(match) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override { return to_.path_match == match_ ? quoted(to_.path) : ""; }

 private:
  route::RouteOptions& to_;
  route::PathMatch match_;
};

// { NAME = "VALUE" }
class HeaderValues final : public Codec {
 public:
  explicit HeaderValues(std::vector<route::HeaderValue>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::vector<route::HeaderValue>& to_;
};

// { set = {}, add = {}, remove = [] }; a value of `set` or `add` may be an array for a field that is sent more than
// once.
class HeaderEditsCodec final : public Codec {
 public:
  explicit HeaderEditsCodec(route::HeaderEdits& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  route::HeaderEdits& to_;
};

class TargetUpstream final : public Codec {
 public:
  explicit TargetUpstream(route::RouteOptions& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  route::RouteOptions& to_;
};

class SplitTargets final : public Codec {
 public:
  explicit SplitTargets(route::RouteOptions& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  route::RouteOptions& to_;
};

class RedirectTo final : public Codec {
 public:
  explicit RedirectTo(route::RouteOptions& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  route::RouteOptions& to_;
};

class RespondWith final : public Codec {
 public:
  explicit RespondWith(route::RouteOptions& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  route::RouteOptions& to_;
};

// `fallback`: { upstream = "NAME" } or { respond = { ... } }.
class FallbackCodec final : public Codec {
 public:
  explicit FallbackCodec(std::optional<route::Fallback>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::optional<route::Fallback>& to_;
};

// `error_pages`: { 404 = "FILE", 5xx = "FILE" }.
class ErrorPagesCodec final : public Codec {
 public:
  explicit ErrorPagesCodec(std::vector<route::ErrorPageFile>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::vector<route::ErrorPageFile>& to_;
};

// `allow`: CIDRs that may be absent, but not empty.
class AllowedClients final : public Codec {
 public:
  explicit AllowedClients(std::optional<std::vector<net::Cidr>>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::optional<std::vector<net::Cidr>>& to_;
};

class RateLimitCodec final : public Codec {
 public:
  explicit RateLimitCodec(std::optional<route::RateLimit>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::optional<route::RateLimit>& to_;
};

class ConcurrencyLimitCodec final : public Codec {
 public:
  explicit ConcurrencyLimitCodec(std::optional<route::ConcurrencyLimit>& to) : to_(to) {}
  void read(const Node& node, Reader& reader) override;
  std::string print() const override;

 private:
  std::optional<route::ConcurrencyLimit>& to_;
};

// The keys of a table that stands as one value: complains about unknown ones, missing ones and a node that is no table.
// The key found last is the one that the reader's complaints name, until the next or the end.
class InlineTable {
 public:
  InlineTable(const Node& node, Reader& reader, std::vector<std::string_view> known);
  InlineTable(const InlineTable&) = delete;
  InlineTable& operator=(const InlineTable&) = delete;
  ~InlineTable() { reader_.start(base_); }
  bool good() const { return good_; }
  const Node* find(std::string_view key);
  // As find, and complains when the key is not there.
  const Node* need(std::string_view key);

 private:
  const Node& node_;
  Reader& reader_;
  std::string_view base_;
  std::string label_;
  bool good_;
};

}  // namespace sluice::config
