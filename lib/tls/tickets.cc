// Rotation of our own keys; reading of a fleet's.
#include "tls/tickets.h"

#include <openssl/base64.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/text.h"
#include "tls/certificate.h"

namespace sluice::tls {
namespace {

constexpr std::size_t short_key_bytes = 48;
constexpr std::size_t long_key_bytes = 80;

std::optional<TicketKey> parse_key(const std::uint8_t* bytes, std::size_t size) {
  TicketKey key;
  std::memcpy(key.name.data(), bytes, TicketKey::name_bytes);
  const std::uint8_t* const secrets = bytes + TicketKey::name_bytes;
  if (size == short_key_bytes) {
    key.secret_bytes = 16;
    std::memcpy(key.cipher.data(), secrets, 16);
    std::memcpy(key.mac.data(), secrets + 16, 16);
    return key;
  }
  if (size != long_key_bytes) return std::nullopt;
  key.secret_bytes = 32;
  std::memcpy(key.mac.data(), secrets, 32);
  std::memcpy(key.cipher.data(), secrets + 32, 32);
  return key;
}

std::optional<TicketKey> parse_line(std::string_view line) {
  std::uint8_t bytes[128];
  std::size_t size = 0;
  if (line.size() > sizeof bytes) return std::nullopt;
  std::optional<TicketKey> key;
  if (EVP_DecodeBase64(bytes, &size, sizeof bytes, reinterpret_cast<const std::uint8_t*>(line.data()), line.size()) ==
          1 &&
      size >= short_key_bytes) {
    key = parse_key(bytes, size);
  }
  OPENSSL_cleanse(bytes, sizeof bytes);
  return key;
}

bool is_text(std::string_view bytes) {
  return std::ranges::all_of(bytes,
                             [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\r' || c == '\t'; });
}

}  // namespace

TicketKey::~TicketKey() {
  OPENSSL_cleanse(mac.data(), mac.size());
  OPENSSL_cleanse(cipher.data(), cipher.size());
}

Tickets::Tickets(base::Millis lifetime) : lifetime_(lifetime) {
  if (lifetime.count != 0) rotation_ = std::max(rotation_min, base::Millis{lifetime.count / own_keys_per_lifetime});
}

base::Result<std::shared_ptr<Tickets>> Tickets::from_file(const std::string& path, Findings& warnings) {
  const base::Result<SecretText> secret = read_secret(path);
  if (!secret) return std::unexpected(secret.error());
  warn_of_permissions(path, warnings);
  const std::string_view text = secret->view();
  auto tickets = std::make_shared<Tickets>(base::Millis{0});
  if (!is_text(text)) {
    const auto key = parse_key(reinterpret_cast<const std::uint8_t*>(text.data()), text.size());
    if (!key)
      return std::unexpected(
          file_error(path, "a binary ticket key has exactly 48 or 80 bytes; several keys are base64, one a line"));
    tickets->keys_.push_back(*key);
    return tickets;
  }
  std::uint32_t number = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = base::trim_ows(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
    ++number;
    if (line.ends_with('\r')) line = base::trim_ows(line.substr(0, line.size() - 1));
    if (line.empty() || line.starts_with('#')) continue;
    const auto key = parse_line(line);
    base::Error error = file_error(
        path, "not a ticket key: base64 of 48 or 80 bytes is expected (openssl rand -base64 80 | tr -d '\\n')");
    error.span.line = number;
    if (!key) return std::unexpected(std::move(error));
    error.message = "too many ticket keys: at most 64";
    if (tickets->keys_.size() == keys_max) return std::unexpected(std::move(error));
    tickets->keys_.push_back(*key);
  }
  if (tickets->keys_.empty()) return std::unexpected(file_error(path, "no ticket key in it"));
  return tickets;
}

void Tickets::rotate(base::Micros now) {
  if (rotation_.count == 0) return;
  const base::Micros last_use = base::Micros(rotation_) + base::Micros(lifetime_);
  std::erase_if(keys_, [&](const TicketKey& key) { return now - key.made > last_use; });
  if (!keys_.empty() && now - keys_.front().made < base::Micros(rotation_)) return;
  TicketKey key;
  key.made = now;
  RAND_bytes(key.name.data(), key.name.size());
  RAND_bytes(key.mac.data(), key.mac.size());
  RAND_bytes(key.cipher.data(), key.cipher.size());
  keys_.insert(keys_.begin(), key);
}

TicketKey Tickets::sealing_key(base::Micros now) {
  const std::lock_guard held(lock_);
  rotate(now);
  CHECK(!keys_.empty());
  return keys_.front();
}

std::optional<Tickets::Found> Tickets::opening_key(const std::uint8_t* name, base::Micros now) {
  const std::lock_guard held(lock_);
  rotate(now);
  for (std::size_t i = 0; i < keys_.size(); ++i) {
    if (std::memcmp(keys_[i].name.data(), name, TicketKey::name_bytes) == 0) return Found{keys_[i], i == 0};
  }
  return std::nullopt;
}

std::size_t Tickets::keys() {
  const std::lock_guard held(lock_);
  return keys_.size();
}

}  // namespace sluice::tls
