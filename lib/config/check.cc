// Cross checks of the process and of listeners; upstreams are in check_upstream.cc and check_pool_class.cc, routes in
// check_route.cc, what values amount to together in check_arithmetic.cc; see check.h.
#include "config/check.h"

#include <map>

#include "config/check_parts.h"

namespace sluice::config {
namespace {

// A parsed head may take this much of one block (see the HTTP/1 parser): both limits together must fit.
constexpr std::uint64_t head_bytes_max = 96 * 1024;

void check_process(const Snapshot& s, const Node& root, Report& report) {
  if (s.drain.deadline < s.drain.deregister_wait) {
    report.error(
        place(&root, {"drain", look(&root, {"drain", "deadline"}) != nullptr ? "deadline" : "deregister_wait"}),
        concat({"drain.deadline (", print_duration(s.drain.deadline),
                ") must not be shorter than drain.deregister_wait (", print_duration(s.drain.deregister_wait),
                "), which it includes"}));
  }
  if (!s.runtime.replicas_dns.empty() && look(&root, {"runtime", "replicas"}) != nullptr) {
    report.error(place(&root, {"runtime", "replicas_dns"}),
                 "replicas_dns cannot stand beside replicas: one of them says how many processes there are");
  }
  if (s.dns.max_ttl < s.dns.min_ttl) {
    report.error(place(&root, {"dns", look(&root, {"dns", "max_ttl"}) != nullptr ? "max_ttl" : "min_ttl"}),
                 "dns.max_ttl must not be shorter than dns.min_ttl");
  }
}

void check_admin(const Snapshot& s, const Node& root, Report& report) {
  if (!s.admin.parsed || s.admin.parsed->is_loopback()) return;
  report.warning(place(&root, {"admin", "address"}),
                 concat({"the admin has no password: whoever reaches ", s.admin.address,
                         " reads metrics, status and configuration"}),
                 "127.0.0.1:9901");
}

bool is_everybody(const net::Cidr& block) { return block.text() == "0.0.0.0/0" || block.text() == "::/0"; }

void check_trust(const ListenerOptions& listener, const Node* node, Report& report) {
  for (const net::Cidr& block : listener.trusted_proxies) {
    if (!is_everybody(block)) continue;
    report.warning(place(node, {"trusted_proxies"}),
                   concat({block.text(), " trusts everybody: each client names its own address, and is let in by it"}));
  }
}

// The same address twice would be bound twice; port 0 is another port each time.
void check_addresses(const Snapshot& s, const Node& root, Report& report) {
  std::map<std::string, std::string> owners;
  const auto claim = [&](const net::Address& address, std::string owner, Position at) {
    if (address.is_ip() && address.port() == 0) return;
    const auto [had, fresh] = owners.emplace(address.text(), owner);
    if (!fresh) report.error(at, concat({"address ", address.text(), " is already used by ", had->second}));
  };
  if (s.admin.parsed) claim(*s.admin.parsed, "[admin]", place(&root, {"admin", "address"}));
  for (std::size_t i = 0; i < s.listeners.size(); ++i) {
    const Node* listener = item_of(look(&root, {"listener"}), i);
    const Node* address = look(listener, {"address"});
    for (std::size_t j = 0; j < s.listeners[i].addresses.size(); ++j) {
      const Node* one = item_of(address, j);
      claim(s.listeners[i].addresses[j].parsed, concat({"listener ", quoted(s.listeners[i].name)}),
            one != nullptr ? one->at : place(listener, {"address"}));
    }
  }
}

void check_server_tls(const tls::ServerTlsOptions& tls, const Node* node, Report& report, const FileChecks& files) {
  if (look(node, {"certificates"}) == nullptr) {
    report.error(place(node, {}), "[listener.tls] needs certificates = [{ cert = \"FILE\", key = \"FILE\" }]");
  }
  for (std::size_t i = 0; i < tls.certificates.size() && files.certificate; ++i) {
    const tls::CertificateFiles& pair = tls.certificates[i];
    if (pair.cert.empty() || pair.key.empty()) continue;  // reported where it was read
    const Node* at = item_of(look(node, {"certificates"}), i);
    show_file_problems(report, at == nullptr ? place(node, {"certificates"}) : at->at, files.certificate(pair));
  }
  if (tls.client_auth != tls::ClientAuth::off && tls.client_ca.empty()) {
    report.error(place(node, {"client_auth"}), "client_auth needs client_ca: the file with the CAs of the clients");
  }
  if (tls.client_auth == tls::ClientAuth::off && !tls.client_ca.empty()) {
    report.warning(place(node, {"client_ca"}), "client_ca has no effect while client_auth is \"off\"",
                   "client_auth = \"required\"");
  }
  if (!tls.client_ca.empty() && files.authorities)
    show_file_problems(report, place(node, {"client_ca"}), files.authorities(tls.client_ca));
  if (!tls.ticket_keys.empty() && files.ticket_keys)
    show_file_problems(report, place(node, {"ticket_keys"}), files.ticket_keys(tls.ticket_keys));
}

}  // namespace

void show_file_problems(Report& report, Position at, std::vector<base::Error> problems) {
  for (base::Error& problem : problems) {
    if (!problem.span.file.empty()) problem.message = concat({problem.span.file, ": ", problem.message});
    if (problem.severity == base::Severity::error) {
      report.error(at, std::move(problem.message), std::move(problem.suggestion));
    } else {
      report.warning(at, std::move(problem.message), std::move(problem.suggestion));
    }
  }
}

void check_listeners(Snapshot& s, const Node& root, Report& report, const FileChecks& files) {
  if (s.listeners.empty() && look(&root, {"listener"}) == nullptr) {
    report.error({}, "there is no [[listener]]: nothing would be served");
  }
  std::map<std::string, std::size_t> names;
  for (std::size_t i = 0; i < s.listeners.size(); ++i) {
    ListenerOptions& listener = s.listeners[i];
    const Node* node = item_of(look(&root, {"listener"}), i);
    if (look(node, {"address"}) == nullptr)
      report.error(place(node, {}), "[[listener]] needs an address", "address = \"127.0.0.1:8080\"");
    if (listener.name.empty() && !listener.addresses.empty()) listener.name = listener.addresses.front().text;
    if (!listener.name.empty() && !names.emplace(listener.name, i).second) {
      report.error(place(node, {look(node, {"name"}) != nullptr ? "name" : "address"}),
                   concat({"there is another listener of the name ", quoted(listener.name)}));
    }
    const http::HttpLimits& limits = listener.downstream.limits;
    if (limits.max_request_line + limits.max_header_bytes > head_bytes_max) {
      report.error(
          place(node, {look(node, {"max_header_bytes"}) != nullptr ? "max_header_bytes" : "max_request_line"}),
          concat({"max_request_line and max_header_bytes together must be at most ", print_size(head_bytes_max)}));
    }
    check_trust(listener, node, report);
    if (listener.tls) check_server_tls(*listener.tls, look(node, {"tls"}), report, files);
  }
}

void check(Snapshot& s, const Node& root, Report& report, const FileChecks& files) {
  if (!s.admin.address.empty() && !s.admin.parsed) {
    auto parsed = net::Address::parse(s.admin.address);  // the default: what a file gives is parsed where it is read
    if (parsed) s.admin.parsed = *parsed;
  }
  check_process(s, root, report);
  check_admin(s, root, report);
  check_listeners(s, root, report, files);
  check_addresses(s, root, report);
  check_upstreams(s, root, report, files);
  check_routes(s, root, report);
  check_error_pages(s, root, report, files);
  check_pool_classes(s, root, report);
  check_arithmetic(s, root, report);
}

}  // namespace sluice::config
