// Fleet: how many processes of this configuration there are, and what all of them together may open towards servers
// that bear only so many connections (`server_limit`). The number is `replicas`, or that of the addresses of
// `replicas_dns`. Control thread only; it advises and changes nothing.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "dns/directory.h"
#include "metrics/registry.h"
#include "runtime/generation.h"

namespace sluice::runtime {

class Fleet final : private dns::Follower {
 public:
  // Both outlive it.
  Fleet(dns::Directory& directory, metrics::Registry& registry);

  // What is in force from now on, its endpoint sets published and the directory configured.
  void publish(const Generation& generation);
  // The endpoints of some upstream have changed.
  void look();
  std::uint32_t replicas() const { return replicas_; }

 private:
  struct Limited {  // an upstream with a server_limit
    std::shared_ptr<upstream::SharedUpstream> shared;
    UpstreamOptionsPtr options;
    std::uint64_t told = 0;  // connections when it was found to be above its limit; 0: it is not
  };
  void follow(const std::string& name);
  void set_replicas(std::uint32_t replicas);
  void judge(Limited& upstream);
  void on_resolved(const dns::Resolved& resolved) override;
  void on_unresolved(std::string_view why) override;

  dns::Directory& directory_;
  metrics::Registry& registry_;
  std::string name_;  // replicas_dns; "": none
  std::optional<dns::Subscription> subscription_;
  std::uint32_t replicas_ = 1;
  std::map<std::string, Limited, std::less<>> limited_;  // by name
};

}  // namespace sluice::runtime
