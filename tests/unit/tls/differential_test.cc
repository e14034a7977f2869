// Our record layer against bare BoringSSL: the same script of records is played to a transport of ours and to an SSL
// object on memory BIOs, and both must deliver the same bytes, send the same alert and end the same way. Where RFC 8446
// wants something else than BoringSSL does, the case says both.
#include <openssl/err.h>

#include <functional>
#include <optional>

#include "raw.h"
#include "rig.h"
#include "support/random.h"
#include "tls/records.h"

#include <doctest/doctest.h>

namespace sluice::test {
namespace {

using support::SimLoop;
using tls::RecordType;

enum class Role { server, client };
enum class End { open, finished, failed };

// An SSL object on memory BIOs.
class Bare {
 public:
  Bare(Role role, std::uint16_t version) : context_(SSL_CTX_new(TLS_method())) {
    SSL_CTX_set_min_proto_version(context_.get(), version);
    SSL_CTX_set_max_proto_version(context_.get(), version);
    if (role == Role::server) {
      REQUIRE(SSL_CTX_use_certificate_chain_file(context_.get(), localhost().cert.c_str()) == 1);
      REQUIRE(SSL_CTX_use_PrivateKey_file(context_.get(), localhost().key.c_str(), SSL_FILETYPE_PEM) == 1);
    }
    ssl_.reset(SSL_new(context_.get()));
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(in_, -1);
    SSL_set_bio(ssl_.get(), in_, out_);
    role == Role::server ? SSL_set_accept_state(ssl_.get()) : SSL_set_connect_state(ssl_.get());
  }
  SSL& ssl() { return *ssl_; }
  std::string take() {
    const std::uint8_t* data = nullptr;
    std::size_t size = 0;
    BIO_mem_contents(out_, &data, &size);
    std::string bytes(reinterpret_cast<const char*>(data), size);
    BIO_reset(out_);
    return bytes;
  }
  void feed(std::string_view bytes) {
    if (!bytes.empty()) BIO_write(in_, bytes.data(), static_cast<int>(bytes.size()));
    ERR_clear_error();
    if (!open && SSL_do_handshake(ssl_.get()) == 1) open = true;
    if (open && end == End::open) read();
    ERR_clear_error();
  }

  std::string got;
  End end = End::open;
  int alert = 0;  // heard from the other side; 0 = none
  bool open = false;

 private:
  void read() {
    char part[16'384];
    int n = 0;
    while ((n = SSL_read(ssl_.get(), part, sizeof part)) > 0) got.append(part, static_cast<std::size_t>(n));
    const int error = SSL_get_error(ssl_.get(), n);
    if (error == SSL_ERROR_WANT_READ) return;
    end = error == SSL_ERROR_ZERO_RETURN ? End::finished : End::failed;
    const int reason = ERR_GET_REASON(ERR_peek_error());
    if (end == End::failed && reason > SSL_AD_REASON_OFFSET) alert = reason - SSL_AD_REASON_OFFSET;
  }

  bssl::UniquePtr<SSL_CTX> context_;
  bssl::UniquePtr<SSL> ssl_;
  BIO* in_ = nullptr;
  BIO* out_ = nullptr;
};

// Who is played to.
struct Subject {
  virtual ~Subject() = default;
  virtual void feed(std::string_view bytes) = 0;
  virtual std::string take() = 0;
  virtual void send(std::string_view bytes) = 0;
  virtual std::string got() = 0;
  virtual End end() = 0;
};

struct BareSubject final : Subject {
  BareSubject(Role role, std::uint16_t version) : bare(role, version) {}
  void feed(std::string_view bytes) override { bare.feed(bytes); }
  std::string take() override { return bare.take(); }
  void send(std::string_view bytes) override { SSL_write(&bare.ssl(), bytes.data(), static_cast<int>(bytes.size())); }
  std::string got() override { return bare.got; }
  End end() override { return bare.end; }
  Bare bare;
};

struct OurSubject final : Subject {
  OurSubject(SimLoop& loop, Role role, std::uint16_t version) : sim(loop) {
    support::ScriptedPair pair = support::scripted_pair(sim);
    peer = std::move(pair.peer);
    wire = std::move(pair.wire);
    auto options = server_options({localhost()});
    if (version == TLS1_2_VERSION) options.min_version = tls::Version::tls12;
    user.bind(role == Role::server ? tls::accept(sim.loop(), std::move(pair.transport), server_context(options), {})
                                   : tls::connect(sim.loop(), std::move(pair.transport),
                                                  client_context(client_options()), "localhost", nullptr, {}));
    sim.settle();
  }
  void feed(std::string_view bytes) override {
    if (!bytes.empty()) peer->send(std::string(bytes));
    sim.settle();
  }
  std::string take() override { return peer->take(); }
  void send(std::string_view bytes) override {
    user.send(bytes);
    sim.settle();
  }
  std::string got() override { return user.got; }
  End end() override {
    return user.end ? End::failed : user.eof ? (*user.eof ? End::finished : End::failed) : End::open;
  }
  SimLoop& sim;
  std::unique_ptr<support::ScriptedPeer> peer;
  std::shared_ptr<support::Wire> wire;
  Side user;
};

struct Outcome {
  std::string got;
  End end = End::open;
  int alert = 0;
  std::string heard;  // what the script's side read
  bool operator==(const Outcome&) const = default;
};

std::string words(const Outcome& o) {
  return "got " + std::to_string(o.got.size()) + " end " + std::to_string(static_cast<int>(o.end)) + " alert " +
         std::to_string(o.alert) + " heard '" + o.heard + "'";
}

// The script's side: a BoringSSL whose keys seal what it would never send.
class Player {
 public:
  Player(Subject& subject, Role role, std::uint16_t version) : subject_(subject), peer_(role, version) {
    std::string to_subject;
    for (int i = 0; i < 20 && !(peer_.open && done_); ++i) {
      peer_.feed(subject_.take());
      to_subject = peer_.take();
      done_ = peer_.open && to_subject.empty();
      subject_.feed(to_subject);
    }
    REQUIRE(peer_.open);
    if (version == TLS1_3_VERSION) take_keys();
  }
  void record(RecordType type, std::string_view content) { raw(sealed(type, content)); }
  std::string sealed(RecordType type, std::string_view content) {
    net::ByteQueue out;
    records_->seal(type, content, out);
    std::string bytes(out.size(), '\0');
    out.peek(bytes.data(), bytes.size());
    return bytes;
  }
  // What BoringSSL itself seals: TLS 1.2.
  std::string written(std::string_view content) {
    REQUIRE(SSL_write(&peer_.ssl(), content.data(), static_cast<int>(content.size())) > 0);
    return peer_.take();
  }
  void raw(std::string_view bytes) {
    if (subject_.end() != End::open) return;
    if (tear_ == nullptr) return subject_.feed(bytes);
    while (!bytes.empty()) {
      const std::size_t n = std::min<std::size_t>(bytes.size(), 1 + tear_->next() % 700);
      subject_.feed(bytes.substr(0, n));
      bytes.remove_prefix(n);
    }
  }
  void key_update(bool request) {
    record(RecordType::handshake, std::string("\x18\x00\x00\x01", 4) + static_cast<char>(request ? 1 : 0));
    REQUIRE(SSL_key_update(&peer_.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED) ==
            1);  // for the key alone: nothing of it is sent
    take_keys();
  }
  void answer(std::string_view bytes) {
    if (subject_.end() == End::open) subject_.send(bytes);
    peer_.feed(subject_.take());
  }
  void tear_by(support::Random& random) { tear_ = &random; }
  Bare& peer() { return peer_; }

  Outcome outcome() {
    peer_.feed(subject_.take());
    if (subject_.end() == End::open) answer("bye");
    return {subject_.got(), subject_.end(), peer_.alert, peer_.got};
  }

 private:
  void take_keys() {
    records_.emplace();
    REQUIRE(records_->take_writing(peer_.ssl()));
  }

  Subject& subject_;
  Bare peer_;
  std::optional<tls::Records> records_;
  support::Random* tear_ = nullptr;
  bool done_ = false;
};

using Script = std::function<void(Player&)>;

struct Outcomes {
  Outcome ours;
  Outcome bare;
};

Outcomes play(Role role, std::uint16_t version, const Script& script) {
  const Role other = role == Role::server ? Role::client : Role::server;
  Outcomes both;
  {
    SimLoop sim;
    OurSubject ours(sim, role, version);
    Player player(ours, other, version);
    script(player);
    both.ours = player.outcome();
  }
  BareSubject bare(role, version);
  Player player(bare, other, version);
  script(player);
  both.bare = player.outcome();
  return both;
}

const std::string ticket("\x04\x00\x00\x15\x00\x00\x0e\x10\x01\x02\x03\x04\x01\x00\x00\x08TICKETID\x00\x00", 25);
std::string alert_of(int level, int what) { return {static_cast<char>(level), static_cast<char>(what)}; }

struct Case {
  const char* what;
  Script script;
  int rfc_alert = 0;  // other than BoringSSL's; 0 = the same
};

std::vector<Case> cases13() {
  const auto record = [](RecordType type, std::string content) { return [=](Player& p) { p.record(type, content); }; };
  const auto handshake = [](std::string content) {
    return [=](Player& p) { p.record(RecordType::handshake, content); };
  };
  std::vector<Case> cases;
  cases.push_back({"nothing", [](Player&) {}});
  cases.push_back({"application data, an empty record between", [](Player& p) {
                     p.record(RecordType::application, "one");
                     p.record(RecordType::application, "");
                     p.record(RecordType::application, "two");
                   }});
  for (const int n : {32, 33}) {
    cases.push_back({"empty records at their limit and one above", [n](Player& p) {
                       for (int i = 0; i < n; ++i) p.record(RecordType::application, "");
                     }});
  }
  for (const int n : {4, 5}) {
    cases.push_back({"user_canceled at its limit and one above", [n](Player& p) {
                       for (int i = 0; i < n; ++i) p.record(RecordType::alert, alert_of(1, SSL_AD_USER_CANCELLED));
                     }});
  }
  cases.push_back({"close_notify, then bytes", [](Player& p) {
                     p.record(RecordType::application, "last");
                     p.record(RecordType::alert, alert_of(1, SSL_AD_CLOSE_NOTIFY));
                     p.record(RecordType::application, "lost");
                   }});
  cases.push_back({"a fatal alert", record(RecordType::alert, alert_of(2, SSL_AD_INTERNAL_ERROR))});
  cases.push_back({"an alert of one byte", record(RecordType::alert, "\x01")});
  cases.push_back({"two alerts", record(RecordType::alert, alert_of(1, 0) + alert_of(1, 0))});
  cases.push_back({"an empty alert", record(RecordType::alert, ""), SSL_AD_UNEXPECTED_MESSAGE});
  cases.push_back({"a record of 2^14 bytes", record(RecordType::application, letters(16'384))});
  cases.push_back({"one byte more", record(RecordType::application, letters(16'385))});
  cases.push_back({"an unknown type", record(static_cast<RecordType>(24), "x")});
  cases.push_back({"change_cipher_spec inside", record(static_cast<RecordType>(20), "\x01")});
  cases.push_back({"change_cipher_spec outside", [](Player& p) { p.raw(std::string("\x14\x03\x03\x00\x01\x01", 6)); },
                   SSL_AD_UNEXPECTED_MESSAGE});
  cases.push_back({"padding without a type", record(static_cast<RecordType>(0), ""), SSL_AD_UNEXPECTED_MESSAGE});
  cases.push_back({"a header alone that says too much",
                   [](Player& p) { p.raw(std::string("\x17\x03\x03\x41\x01", 5)); }, SSL_AD_RECORD_OVERFLOW});
  cases.push_back(
      {"a header alone of another version", [](Player& p) { p.raw(std::string("\x17\x03\x01\x00\x20", 5)); }});
  cases.push_back(
      {"a record shorter than its tag", [](Player& p) { p.raw(std::string("\x17\x03\x03\x00\x03xyz", 8)); }});
  cases.push_back({"an alert in the clear", [](Player& p) { p.raw(std::string("\x15\x03\x03\x00\x02\x02\x28", 7)); }});
  cases.push_back({"a forged tag", [](Player& p) {
                     std::string bytes = p.sealed(RecordType::application, "forged");
                     bytes.back() = static_cast<char>(bytes.back() ^ 1);
                     p.raw(bytes);
                   }});
  cases.push_back({"a record twice", [](Player& p) {
                     const std::string bytes = p.sealed(RecordType::application, "once");
                     p.raw(bytes);
                     p.raw(bytes);
                   }});
  for (const bool request : {false, true}) {
    cases.push_back({"key updates with bytes between, and an answer", [request](Player& p) {
                       for (int i = 0; i < 5; ++i) {
                         p.key_update(request);
                         p.key_update(request);
                         p.record(RecordType::application, "under the new key");
                         p.answer("yes");
                       }
                     }});
  }
  cases.push_back({"32 key updates in a row", [](Player& p) {
                     for (int i = 0; i < 32; ++i) p.key_update(true);
                   }});
  cases.push_back({"a key update of nonsense", handshake(std::string("\x18\x00\x00\x01\x07", 5))});
  cases.push_back({"a key update without a body", handshake(std::string("\x18\x00\x00\x00", 4))});
  cases.push_back({"a key update and more in the record", handshake(std::string("\x18\x00\x00\x01\x00\x18", 6))});
  cases.push_back({"a key update in parts", [](Player& p) {
                     for (const char c : std::string("\x18\x00\x00\x01\x00", 5))
                       p.record(RecordType::handshake, std::string(1, c));
                   }});
  cases.push_back({"an empty handshake record", handshake(""), SSL_AD_UNEXPECTED_MESSAGE});
  cases.push_back({"application data in the middle of a message", [](Player& p) {
                     p.record(RecordType::handshake, std::string("\x18\x00", 2));
                     p.record(RecordType::application, "x");
                   }});
  cases.push_back({"an alert in the middle of a message", [](Player& p) {
                     p.record(RecordType::handshake, std::string("\x18\x00", 2));
                     p.record(RecordType::alert, alert_of(2, SSL_AD_INTERNAL_ERROR));
                   }});
  cases.push_back({"a message too long", handshake(std::string("\x18\x10\x00\x00", 4))});
  cases.push_back({"a ticket", handshake(ticket)});
  cases.push_back({"a ticket cut short", handshake(std::string("\x04\x00\x00\x02\x00\x00", 6))});
  cases.push_back({"two tickets in three records", [](Player& p) {
                     p.record(RecordType::handshake, ticket.substr(0, 10));
                     p.record(RecordType::handshake, ticket.substr(10) + ticket.substr(0, 3));
                     p.record(RecordType::handshake, ticket.substr(3));
                     p.record(RecordType::application, "x");
                   }});
  for (const char type : {'\x00', '\x01', '\x02', '\x08', '\x0b', '\x0d', '\x14', '\x63'}) {
    cases.push_back({"a message that has no place here", handshake(type + std::string("\x00\x00\x02zz", 5))});
  }
  return cases;
}

TEST_CASE("TLS 1.3 behind the handshake: ours and bare BoringSSL do the same") {
  for (const Role role : {Role::server, Role::client}) {
    for (const bool has_written : {false, true}) {
      for (const Case& c : cases13()) {
        CAPTURE(c.what);
        CAPTURE(role == Role::server);
        CAPTURE(has_written);
        Outcomes both = play(role, TLS1_3_VERSION, [&](Player& p) {
          if (has_written) p.answer("hello");
          c.script(p);
        });
        if (c.rfc_alert != 0) {
          CHECK(both.ours.end == End::failed);
          CHECK(both.ours.alert == c.rfc_alert);
          CHECK(both.bare.alert != c.rfc_alert);
        } else {
          CHECK_MESSAGE((both.ours == both.bare), "ours: " << words(both.ours) << " bare: " << words(both.bare));
        }
      }
    }
  }
}

// A random script, valid for the most part; what is bad in it comes last.
void improvise(Player& p, std::uint64_t seed) {
  support::Random random(seed);
  if (random.next() % 2 == 0) p.tear_by(random);
  const auto below = [&random](std::uint64_t n) { return random.next() % n; };
  for (std::uint64_t n = below(12); n != 0; --n) {
    switch (below(8)) {
      case 0: p.key_update(below(2) == 0); break;
      case 1: p.record(RecordType::alert, alert_of(1, SSL_AD_USER_CANCELLED)); break;
      case 2: p.answer("answer"); break;
      case 3: {
        const std::size_t at = 1 + below(ticket.size() - 1);
        p.record(RecordType::handshake, ticket.substr(0, at));
        if (below(4) == 0) p.record(RecordType::application, "between");
        p.record(RecordType::handshake, ticket.substr(at));
        break;
      }
      default: p.record(RecordType::application, letters(below(3000), seed));
    }
  }
  std::string bytes = p.sealed(static_cast<RecordType>(21 + below(4)), letters(1 + below(40), seed));
  if (below(2) == 0) bytes[5 + below(bytes.size() - 5)] ^= 1;
  p.raw(bytes);
}

TEST_CASE("TLS 1.3: random scripts") {
  for (const Role role : {Role::server, Role::client}) {
    for (std::uint64_t seed = 1; seed <= 150; ++seed) {
      CAPTURE(seed);
      CAPTURE(role == Role::server);
      const Outcomes both = play(role, TLS1_3_VERSION, [seed](Player& p) { improvise(p, seed); });
      CHECK_MESSAGE((both.ours == both.bare), "ours: " << words(both.ours) << " bare: " << words(both.bare));
    }
  }
}

TEST_CASE("TLS 1.2: records as they should be, and spoilt at each place of interest") {
  struct Spoilt {
    const char* what;
    std::function<void(std::string&)> how;
  };
  const Spoilt cases[] = {
      {"nothing", [](std::string&) {}},
      {"its tag", [](std::string& r) { r.back() = static_cast<char>(r.back() ^ 1); }},
      {"its type: change_cipher_spec", [](std::string& r) { r[0] = 20; }},
      {"its type: alert", [](std::string& r) { r[0] = 21; }},
      {"its type: handshake", [](std::string& r) { r[0] = 22; }},
      {"its type: unknown", [](std::string& r) { r[0] = 23 + 40; }},
      {"its version", [](std::string& r) { r[2] = 1; }},
      {"its length", [](std::string& r) { r[3] = 0x49; }},
      {"a renegotiation in the clear",
       [](std::string& r) { r = std::string("\x16\x03\x03\x00\x04\x00\x00\x00\x00", 9); }},
  };
  for (const Role role : {Role::server, Role::client}) {
    for (const bool torn : {false, true}) {
      for (const Spoilt& c : cases) {
        CAPTURE(c.what);
        CAPTURE(role == Role::server);
        CAPTURE(torn);
        support::Random random(7);
        const Outcomes both = play(role, TLS1_2_VERSION, [&](Player& p) {
          if (torn) p.tear_by(random);
          p.raw(p.written("first"));
          p.answer("hello");
          std::string record = p.written(letters(900));
          c.how(record);
          p.raw(record);
        });
        CHECK_MESSAGE((both.ours == both.bare), "ours: " << words(both.ours) << " bare: " << words(both.bare));
      }
    }
  }
}

}  // namespace
}  // namespace sluice::test
