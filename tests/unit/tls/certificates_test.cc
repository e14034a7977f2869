// Files, the store by names and keys, reloads, and what the checks say.
#include "raw.h"
#include "rig.h"
#include "tls/cert_store.h"
#include "tls/certificate.h"

#include <openssl/ec.h>
#include <openssl/ec_key.h>

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <span>

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

using support::SimLoop;

const tls::CertificateFiles& cert_of(const std::string& file, const CertSpec& spec) {
  static std::map<std::string, tls::CertificateFiles> made;
  const auto found = made.find(file);
  return found != made.end() ? found->second : made.emplace(file, certs().make(file, spec)).first->second;
}

std::string text_of(const std::string& path) { return *tls::read_file(path); }

// The only finding, as "file: message".
std::string only(const tls::Findings& findings, base::Severity severity) {
  if (findings.size() != 1 || findings[0].severity != severity) return "findings: " + std::to_string(findings.size());
  return std::filesystem::path(findings[0].span.file).filename().string() + ": " + findings[0].message;
}

TEST_CASE("bad files are errors that name the file and the reason") {
  const auto good = localhost();
  const auto other = cert_of("b", {.names = {"b.test"}});
  const auto broken_cert =
      certs().write("broken.pem", "-----BEGIN CERTIFICATE-----\nMIIB!!\n-----END CERTIFICATE-----\n");
  const auto half_chain =
      certs().write("half.pem", text_of(good.cert) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  const auto broken_key = certs().write("broken.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  const auto locked =
      certs().write("locked.key",
                    "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
                    "AES-128-CBC,0123456789ABCDEF0123456789ABCDEF\n\n"
                    "MHcCAQEEIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==\n-----END EC PRIVATE KEY-----\n");
  const auto empty = certs().write("empty.pem", "");
  const auto huge = certs().write("huge.pem", std::string(tls::pem_file_bytes_max + 1, 'x'));
  const auto at_limit = certs().write(
      "limit.pem", text_of(good.cert) + std::string(tls::pem_file_bytes_max - text_of(good.cert).size(), '\n'));
  struct Case {
    tls::CertificateFiles files;
    std::string finding;
  };
  const Case cases[] = {
      {{certs().path("none.pem"), good.key}, "none.pem: cannot open the file: No such file or directory"},
      {{good.cert, certs().path("none.key")}, "none.key: cannot open the file: No such file or directory"},
      {{certs().path(""), good.key}, ": this is a folder, a file is needed"},
      {{empty, good.key}, "empty.pem: no certificate in it (PEM is expected)"},
      {{good.key, good.key}, "localhost.key: no certificate in it (PEM is expected)"},
      {{good.cert, good.cert}, "localhost.pem: no private key in it (PEM is expected)"},
      {{huge, good.key}, "huge.pem: larger than 1 MiB: not a certificate or key file"},
      {{good.cert, locked}, "locked.key: the private key is encrypted: a key without a password is needed"},
      {{good.cert, other.key}, "b.key: the private key does not fit the certificate in " + good.cert},
  };
  for (const Case& c : cases)
    CHECK(only(tls::verify_files(server_options({c.files}), wall_now()), base::Severity::error) == c.finding);
  for (const std::string& cert : {broken_cert, half_chain}) {
    const std::string finding =
        only(tls::verify_files(server_options({{cert, good.key}}), wall_now()), base::Severity::error);
    CHECK_MESSAGE(finding.find(".pem: malformed certificate: ") != std::string::npos, finding);
  }
  const std::string finding =
      only(tls::verify_files(server_options({{good.cert, broken_key}}), wall_now()), base::Severity::error);
  CHECK_MESSAGE(finding.starts_with("broken.key: malformed private key: "), finding);
  CHECK(tls::verify_files(server_options({{at_limit, good.key}}), wall_now()).empty());
  CHECK(tls::verify_files(server_options({good, other}), wall_now()).empty());
  CHECK(only(tls::verify_files(server_options({}), wall_now()), base::Severity::error) == ": no certificate");
}

TEST_CASE("the other files: CA, client certificate, ticket keys") {
  auto options = server_options({localhost()});
  options.client_auth = tls::ClientAuth::required;
  CHECK(only(tls::verify_files(options, wall_now()), base::Severity::error) == ": client_auth needs client_ca");
  options.client_ca = certs().path("none.pem");
  CHECK(only(tls::verify_files(options, wall_now()), base::Severity::error) ==
        "none.pem: cannot open the file: No such file or directory");
  CHECK(tls::verify_files(client_options(), wall_now()).empty());
  CHECK(only(tls::verify_files(tls::ClientTlsOptions{.ca = certs().path("none.pem")}, wall_now()),
             base::Severity::error) == "none.pem: cannot open the file: No such file or directory");
  CHECK(only(tls::verify_files(tls::ClientTlsOptions{.ca = certs().ca(), .cert = localhost().cert}, wall_now()),
             base::Severity::error) == ": a client certificate needs both cert and key");
  const auto other = cert_of("b", {.names = {"b.test"}});
  CHECK(only(tls::verify_files(tls::ClientTlsOptions{.ca = certs().ca(), .cert = localhost().cert, .key = other.key},
                               wall_now()),
             base::Severity::error) == "b.key: the private key does not fit the certificate in " + localhost().cert);
}

TEST_CASE("expired and not yet valid: warnings with name and time") {
  const auto expired = cert_of("expired_w", {.names = {"old.test"}, .from_days = -20, .to_days = -10});
  const auto early = cert_of("early_w", {.names = {"new.test"}, .from_days = 10, .to_days = 20});
  const std::string old = only(tls::verify_files(server_options({expired}), wall_now()), base::Severity::warning);
  CHECK_MESSAGE(old.starts_with("expired_w.pem: certificate \"old.test\" expired on 20"), old);
  const std::string young = only(tls::verify_files(server_options({early}), wall_now()), base::Severity::warning);
  CHECK_MESSAGE(young.starts_with("early_w.pem: certificate \"new.test\" is not valid before 20"), young);
  const auto context = server_context(server_options({localhost(), expired}));
  REQUIRE(context->certificates().size() == 2);
  CHECK(context->certificates()[0].name == "localhost");
  CHECK(std::abs(context->certificates()[0].not_after - (now_seconds() + 30 * 86'400)) < 600);
  CHECK(context->certificates()[1].name == "old.test");
  CHECK(context->certificates()[1].not_after < now_seconds());
}

TEST_CASE("keys that others can read or change: a warning; their group may read them") {
  namespace fs = std::filesystem;
  const auto files = certs().make("modes", {.names = {"modes.test"}});
  struct Case {
    unsigned mode;
    const char* warning;
  };
  const Case cases[] = {
      {0600, ""},
      {0400, ""},
      {0640, ""},
      {0644, "modes.key: everybody can read this key (mode 0644): chmod g-w,o-rwx"},
      {0606, "modes.key: everybody can change this key (mode 0606): chmod g-w,o-rwx"},
      {0602, "modes.key: everybody can change this key (mode 0602): chmod g-w,o-rwx"},
      {0660, "modes.key: its group can change this key (mode 0660): chmod g-w,o-rwx"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.mode);
    fs::permissions(files.key, static_cast<fs::perms>(c.mode));
    for (const auto& findings :
         {tls::verify_files(server_options({files}), wall_now()),
          tls::verify_files(tls::ClientTlsOptions{.ca = certs().ca(), .cert = files.cert, .key = files.key},
                            wall_now())}) {
      CHECK(findings.empty() == (*c.warning == '\0'));
      if (*c.warning != '\0') CHECK(only(findings, base::Severity::warning) == c.warning);
    }
  }
  fs::permissions(files.cert, static_cast<fs::perms>(0666));   // no secret
  fs::permissions(files.key, static_cast<fs::perms>(0600));
  CHECK(tls::verify_files(server_options({files}), wall_now()).empty());
}

TEST_CASE("a FIFO or a device is no file of a certificate, and nobody waits for it") {
  const std::string fifo = certs().path("fifo.pem");
  REQUIRE(::mkfifo(fifo.c_str(), 0600) == 0);
  CHECK(only(tls::verify_files(server_options({{fifo, localhost().key}}), wall_now()), base::Severity::error) ==
        "fifo.pem: this is a FIFO, a file is needed");
  CHECK(only(tls::verify_files(server_options({{localhost().cert, "/dev/null"}}), wall_now()), base::Severity::error) ==
        "null: this is a device, a file is needed");
}

TEST_CASE("a common name stands for nothing (RFC 9525)") {
  const auto first = cert_of("cn_first", {.names = {}, .common_name = "first.test"});
  const auto second = cert_of("cn_second", {.names = {}, .common_name = "second.test", .key = Key::rsa});
  const auto loaded = tls::load_certificate(first);
  REQUIRE(loaded.has_value());
  CHECK(!tls::covers(**loaded, "first.test"));
  CHECK(only(tls::verify_files(server_options({first}), wall_now()), base::Severity::warning) ==
        "cn_first.pem: certificate \"first.test\" has no subjectAltName: it covers no name, and clients refuse it");
  SimLoop sim;
  const auto store = server_context(server_options({first, second, cert_of("san", {.names = {"san.test"}})}));
  const auto rsa_only = [](SSL_CTX& c) {
    const std::uint16_t rsa[] = {SSL_SIGN_RSA_PSS_RSAE_SHA256};
    REQUIRE(SSL_CTX_set_verify_algorithm_prefs(&c, rsa, 1) == 1);
  };
  CHECK(raw_client(sim, store, nullptr, "second.test").certificate ==
        "first.test");   // the default, as for any unknown name
  CHECK(!raw_client(sim, store, rsa_only, "unknown.test").open);  // two without names are not one with two keys
  CHECK(raw_client(sim, store, nullptr, "san.test").certificate == "san.test");
}

TEST_CASE("an upstream is not believed by its common name") {
  SimLoop sim;
  const auto server = server_context(server_options({cert_of("cn_only", {.names = {}, .common_name = "localhost"})}));
  Rig nameless(sim, {.server = server});
  sim.settle();
  CHECK(!nameless.open());
  CHECK(nameless.client.end == net::EndReason::tls_unverified);
  Rig other(sim, {.server = server_context(
                      server_options({cert_of("cn_other", {.names = {"IP:10.0.0.1"}, .common_name = "localhost"})}))});
  sim.settle();
  CHECK(!other.open());
}

TEST_CASE("what a certificate covers (RFC 9525)") {
  const auto loaded =
      tls::load_certificate(cert_of("cover", {.names = {"a.test", "*.b.test", "IP:10.1.2.3", "UPPER.test"}}));
  REQUIRE(loaded.has_value());
  const tls::Certificate& c = **loaded;
  for (const char* const yes : {"a.test", "a.test.", "x.b.test", "upper.test", "10.1.2.3"})
    CHECK_MESSAGE(tls::covers(c, yes), yes);
  for (const char* const no :
       {"b.test", "x.y.b.test", ".b.test", "*.test", "xa.test", "a.test.x", "10.1.2.4", "::1", "", "."}) {
    CHECK_MESSAGE(!tls::covers(c, no), no);
  }
}

TEST_CASE("certificates by server name: exact, wildcard, first") {
  SimLoop sim;
  const auto store = server_context(server_options({
      cert_of("first", {.names = {"first.test"}}),
      cert_of("wild", {.names = {"*.wild.test"}}),
      cert_of("exact", {.names = {"exact.wild.test"}}),
      cert_of("two", {.names = {"two.test", "deux.test"}}),
  }));
  const std::pair<const char*, const char*> cases[] = {
      {"", "first.test"},
      {"unknown.test", "first.test"},
      {"a.wild.test", "*.wild.test"},
      {"A.Wild.Test", "*.wild.test"},
      {"exact.wild.test", "exact.wild.test"},
      {"a.b.wild.test", "first.test"},
      {"wild.test", "first.test"},
      {"deux.test", "two.test"},
  };
  for (const auto& [name, certificate] : cases) {
    CAPTURE(name);
    const RawResult result = raw_client(sim, store, nullptr, name);
    CHECK(result.open);
    CHECK(result.certificate == certificate);
  }
}

TEST_CASE("several keys of a name: the one that the client can verify, the cheapest first") {
  SimLoop sim;
  const auto rsa = cert_of("k_rsa", {.names = {"k.test"}, .key = Key::rsa});
  const auto p256 = cert_of("k_p256", {.names = {"k.test"}, .key = Key::p256});
  const auto p384 = cert_of("k_p384", {.names = {"k.test"}, .key = Key::p384});
  auto options = server_options({rsa, p384, p256});
  options.min_version = tls::Version::tls12;
  const auto store = server_context(options);
  const std::uint16_t only_rsa[] = {SSL_SIGN_RSA_PSS_RSAE_SHA256, SSL_SIGN_RSA_PKCS1_SHA256};
  const std::uint16_t only_p384[] = {SSL_SIGN_ECDSA_SECP384R1_SHA384};
  const std::uint16_t old_rsa[] = {SSL_SIGN_RSA_PKCS1_SHA256};
  const std::uint16_t all[] = {SSL_SIGN_RSA_PSS_RSAE_SHA256, SSL_SIGN_RSA_PKCS1_SHA256, SSL_SIGN_ECDSA_SECP384R1_SHA384,
                               SSL_SIGN_ECDSA_SECP256R1_SHA256};
  struct Case {
    std::span<const std::uint16_t> algorithms;
    int version;
    const char* ciphers;
    int key;
  };
  const Case cases[] = {
      {all, TLS1_3_VERSION, "", NID_X9_62_prime256v1},
      {only_rsa, TLS1_3_VERSION, "", 0},
      {only_p384, TLS1_3_VERSION, "", NID_secp384r1},
      {all, TLS1_2_VERSION, "", NID_X9_62_prime256v1},
      {old_rsa, TLS1_2_VERSION, "", 0},
      {all, TLS1_2_VERSION, "ECDHE-RSA-AES128-GCM-SHA256", 0},  // verifies ECDSA, but not in this suite
  };
  for (const char* const name : {"k.test", ""}) {  // by name, and as the default with its namesakes
    for (const Case& c : cases) {
      Peerless server(sim, {}, store);
      RawClient client(
          sim, server,
          [&c](SSL_CTX& context) {
            SSL_CTX_set_verify_algorithm_prefs(&context, c.algorithms.data(), c.algorithms.size());
            SSL_CTX_set_max_proto_version(&context, static_cast<std::uint16_t>(c.version));
            if (*c.ciphers != '\0') SSL_CTX_set_strict_cipher_list(&context, c.ciphers);
          },
          name);
      client.step();
      REQUIRE(client.open());
      const bssl::UniquePtr<X509> leaf(SSL_get_peer_certificate(&client.ssl()));
      const bssl::UniquePtr<EVP_PKEY> key(X509_get_pubkey(leaf.get()));
      const int id = EVP_PKEY_id(key.get());
      const int curve =
          id == EVP_PKEY_EC ? EC_GROUP_get_curve_name(EC_KEY_get0_group(EVP_PKEY_get0_EC_KEY(key.get()))) : 0;
      CHECK(curve == c.key);
    }
  }
  // Nothing suits: refused, and said so.
  const RawResult none = raw_client(sim, server_context(server_options({p256})), [&](SSL_CTX& c) {
    SSL_CTX_set_verify_algorithm_prefs(&c, only_rsa, std::size(only_rsa));
  });
  CHECK(!none.open);
  REQUIRE(none.errors.size() == 1);
  CHECK(none.errors[0] == tls::HandshakeError::no_shared_cipher);
}

TEST_CASE("an Ed25519 key serves clients that take it") {
  SimLoop sim;
  const auto ed = cert_of("ed", {.names = {"localhost"}, .key = Key::ed25519});
  Rig rig(sim, {.server = server_context(server_options({ed}))});
  sim.settle();
  CHECK(rig.open());
}

TEST_CASE("a reload never replaces a valid certificate by an expired one") {
  const auto files = certs().make("reload", {.names = {"reload.test"}});
  const auto first = server_context(server_options({localhost(), files}));
  const auto replace = [&files](const CertSpec& spec) {
    const auto fresh = certs().make("reload_next", spec);
    std::filesystem::rename(fresh.cert, files.cert);
    std::filesystem::rename(fresh.key, files.key);
  };
  replace({.names = {"reload.test"}, .from_days = -20, .to_days = -10});
  tls::Findings warnings;
  const auto second = server_context(server_options({localhost(), files}), {}, first.get(), &warnings);
  REQUIRE(warnings.size() == 2);
  CHECK(warnings[1].message == "the certificate \"reload.test\" of before, which is valid, stays in use");
  CHECK(second->certificates()[1].kept);
  CHECK(second->certificates()[1].not_after > now_seconds());
  SimLoop sim;
  Rig kept(sim, {.server = second, .name = "reload.test"});
  sim.settle();
  CHECK(kept.open());

  replace({.names = {"reload.test"}, .to_days = 60});  // a good one takes over again
  warnings.clear();
  const auto third = server_context(server_options({localhost(), files}), {}, second.get(), &warnings);
  CHECK(warnings.empty());
  CHECK(!third->certificates()[1].kept);
  CHECK(third->certificates()[1].not_after > now_seconds() + 50 * 86'400);

  // Under other file names the names and the kind of key decide.
  const auto moved = certs().make("reload_moved", {.names = {"reload.test"}, .from_days = -20, .to_days = -10});
  CHECK(server_context(server_options({localhost(), moved}), {}, third.get())->certificates()[1].kept);
  const auto other_name = certs().make("reload_other", {.names = {"else.test"}, .from_days = -20, .to_days = -10});
  CHECK(!server_context(server_options({localhost(), other_name}), {}, third.get())->certificates()[1].kept);
  // A restart has nothing to keep: the expired one is served.
  const auto restarted = server_context(server_options({moved}));
  Rig served(sim, {.server = restarted, .client = client_context({.verify = tls::Verify::no}), .name = "reload.test"});
  sim.settle();
  CHECK(served.open());
}

TEST_CASE("a swap while running: old connections keep theirs, new ones get the new") {
  SimLoop sim;
  auto old = server_context(server_options({cert_of("swap1", {.names = {"localhost", "one.test"}})}));
  Rig before(sim, {.server = old});
  sim.settle();
  REQUIRE(before.open());
  auto next = server_context(server_options({cert_of("swap2", {.names = {"localhost", "two.test"}})}), {}, old.get());
  old.reset();
  Rig after(sim, {.server = next});
  sim.settle();
  const net::Peer& first = before.server.transport->peer();
  const net::Peer& second = after.server.transport->peer();
  CHECK(first.certificate_covers(first.certificate, "one.test"));
  CHECK(!first.certificate_covers(first.certificate, "two.test"));
  CHECK(second.certificate_covers(second.certificate, "two.test"));
  before.client.send("still works");
  sim.settle();
  CHECK(before.server.got == "still works");
}

}  // namespace
}  // namespace sluice::test
