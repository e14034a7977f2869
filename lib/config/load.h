// load(): a configuration file to a checked, immutable Snapshot, or to everything that is wrong with it. Used at start,
// by reload, `sluice check`, `sluice explain` and the fuzzer; touches no socket and, but for the file checks it is
// given, no other file.
#pragma once

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "config/availability.h"
#include "config/snapshot.h"
#include "config/source.h"

namespace sluice::config {

// Where each table and key that the file gives stands: "listener[0].tls.min_version", "upstream[2]", "drain.deadline".
using Origins = std::map<std::string, Position, std::less<>>;

// Looks at the files a configuration names, through the TLS library that this one must not know. Message and severity
// of what is returned are shown at the place that names the file; an empty function checks nothing.
struct FileChecks {
  std::function<std::vector<base::Error>(const tls::CertificateFiles&)>
      certificate;  // readable, well formed, fits its key, not expired
  std::function<std::vector<base::Error>(const std::string&)> authorities;  // a file of CA certificates
  std::function<std::vector<base::Error>(const std::string&)> ticket_keys;
  std::function<std::vector<base::Error>(const std::string&)> error_page;  // readable, not too large
};

// Whether Loaded::origins is filled: it takes as much memory as the settings themselves, and only explain reads it.
enum class Record : std::uint8_t { settings, origins };

struct LoadOptions {
  Availability available = Availability::built();
  FileChecks files = {};
  Record record = Record::settings;
};

struct Loaded {
  std::shared_ptr<const Snapshot> snapshot;
  Origins origins;  // empty unless asked for by Record::origins
  std::vector<base::Error> warnings;
  std::string file;
};

using Problems = std::vector<base::Error>;  // by place; errors and warnings

std::expected<Loaded, Problems> load(const Source& source, const LoadOptions& options = {});
std::expected<Loaded, Problems> load_file(const std::string& path, const LoadOptions& options = {});

std::string tomlplusplus_version();  // "3.3.0"

}  // namespace sluice::config
