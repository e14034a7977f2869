// Reading the command line; see options.h.
#include "options.h"

#include <optional>
#include <vector>

#include "config/source.h"

namespace sluice::proxy {
namespace {

constexpr std::string_view help_all =
    "sluice: an HTTP reverse proxy\n\n"
    "  sluice run --config FILE            run in the foreground; logs go to stderr\n"
    "  sluice check FILE [--strict]        load and cross-check a configuration; print every problem\n"
    "  sluice explain FILE --url URL       which listener, route, upstream and limits a request would meet\n"
    "  sluice explain FILE --key KEY       a value, where it comes from, and why its default is what it is\n"
    "  sluice explain FILE --graph         listeners, routes and upstreams as a picture\n"
    "  sluice top [--once]                 what a running sluice does, and what there is to do; from its admin "
    "listener\n"
    "  sluice why ID|CLIENT:PORT           what became of a request that has ended, in a sentence\n"
    "  sluice version                      version, compiler, libraries\n\n"
    "--help after a command says more. Exit codes: 0 good, 1 failed while running, 2 wrong command line or "
    "configuration.\n";
constexpr std::string_view help_run =
    "sluice run --config FILE\n\n"
    "Runs in the foreground and logs to stderr. It is ready when GET /readyz of the admin listener answers 200.\n"
    "SIGTERM, SIGINT: drain, then exit 0 (the same a second time: at once). SIGHUP: reload. SIGUSR1: reopen log "
    "files.\n";
constexpr std::string_view help_check =
    "sluice check FILE [--strict] [--json]\n\n"
    "Loads and cross-checks FILE and prints every problem with its line. Opens no port. Exit code 0: good, 2: bad.\n"
    "  --strict   a warning makes it bad, too\n"
    "  --json     an array of {file, line, column, severity, message, suggestion}\n";
constexpr std::string_view help_explain =
    "sluice explain FILE --url URL [--method METHOD] [--header 'NAME: VALUE']...\n"
    "sluice explain FILE --key KEY\n"
    "sluice explain FILE --graph[=text|mermaid|svg]\n\n"
    "Says what a request to URL would meet: listener, route, upstream and every setting of these with the line it "
    "comes\n"
    "from; or the value of one key (upstream.app.pool.idle_timeout), where it comes from and why its default is what "
    "it is;\n"
    "or draws what leads where: listeners, routes (those that no request can reach, too), upstreams.\n";
constexpr std::string_view help_top =
    "sluice top [--admin IP:PORT] [--once]\n\n"
    "Draws the state of a running sluice anew each second: what there is to do, rates and times by route, upstreams, "
    "their\n"
    "endpoints and why each is used or not, names. `q` ends it.\n"
    "  --admin    its [admin] address; 127.0.0.1:9901\n"
    "  --once     prints it once, for a ticket; exit code 1 if nobody answers\n";
constexpr std::string_view help_why =
    "sluice why REQUEST_ID | TRACE_ID | CLIENT:PORT | CLIENT [--admin IP:PORT]\n\n"
    "Says of requests that have ended, the latest first, what became of them: who ended them, where, and why, which\n"
    "endpoints were tried, and where the time went. Asks GET /recent of a running sluice, which keeps those that were\n"
    "slow, failed, were cut or refused, tunnels, and some that were fine. One that still runs is in GET "
    "/debug/requests.\n"
    "  --admin    its [admin] address; 127.0.0.1:9901\n"
    "Exit codes: 0 told, 1 nobody answers, 3 no such request is kept.\n";
constexpr std::string_view help_version =
    "sluice version\n\nPrints the version, the compiler and the versions of the linked libraries.\n";

std::string_view help_of(std::string_view command) {
  if (command == "run") return help_run;
  if (command == "check") return help_check;
  if (command == "explain") return help_explain;
  if (command == "top") return help_top;
  if (command == "why") return help_why;
  if (command == "version") return help_version;
  return help_all;
}

using Parsed = std::expected<Command, std::string>;

std::unexpected<std::string> wrong(std::string_view command, std::initializer_list<std::string_view> message) {
  return std::unexpected("sluice: " + config::concat(message) + "\n\n" + std::string(help_of(command)));
}

// Takes options off the arguments of one command: "--name VALUE" or "--name=VALUE"; everything else is a file.
class Arguments {
 public:
  Arguments(std::string_view command, std::span<const char* const> rest) : command_(command), rest_(rest) {}

  bool next() {
    if (at_ >= rest_.size()) return false;
    current_ = rest_[at_++];
    has_value_ = false;
    if (!is_option()) return true;
    if (const std::size_t equals = current_.find('='); equals != std::string_view::npos) {
      has_value_ = true;
      value_ = current_.substr(equals + 1);
      current_ = current_.substr(0, equals);
    }
    return true;
  }
  std::string_view current() const { return current_; }
  bool is_option() const { return current_.size() > 1 && current_.front() == '-'; }
  bool has_value() const { return has_value_; }
  // The value of the current option; an error when there is none.
  std::expected<std::string, std::string> value() {
    if (has_value_) return std::string(value_);
    if (at_ < rest_.size()) return std::string(rest_[at_++]);
    return wrong(command_, {current_, " needs a value"});
  }
  std::unexpected<std::string> unknown(std::initializer_list<std::string_view> known) const {
    const std::string_view near = config::nearest(current_, std::vector<std::string_view>(known));
    return wrong(command_, {command_, " has no option ", current_, near.empty() ? "" : ": did you mean ", near,
                            near.empty() ? "" : "?"});
  }
  std::unexpected<std::string> second_file() const {
    return wrong(command_, {command_, " takes one file, not also ", current_});
  }

 private:
  std::string_view command_;
  std::span<const char* const> rest_;
  std::size_t at_ = 0;
  std::string_view current_;
  std::string_view value_;    // after the "="
  bool has_value_ = false;
};

Parsed parse_run(Arguments arguments) {
  std::optional<std::string> file;
  while (arguments.next()) {
    if (arguments.current() != "--config") {
      if (arguments.is_option()) return arguments.unknown({"--config", "--help"});
      return wrong("run", {"run takes its file as --config ", arguments.current()});
    }
    auto value = arguments.value();
    if (!value) return std::unexpected(std::move(value.error()));
    if (file) return wrong("run", {"run takes one --config"});
    file = std::move(*value);
  }
  if (!file) return wrong("run", {"run needs --config FILE"});
  return RunCommand{std::move(*file)};
}

Parsed parse_check(Arguments arguments) {
  std::optional<std::string> file;
  CheckCommand command;
  while (arguments.next()) {
    if (arguments.current() == "--json" && !arguments.has_value()) {
      command.format = config::CheckFormat::json;
    } else if (arguments.current() == "--strict" && !arguments.has_value()) {
      command.strict = config::Strict::yes;
    } else if (arguments.is_option()) {
      return arguments.unknown({"--json", "--strict", "--help"});
    } else if (file) {
      return arguments.second_file();
    } else {
      file = arguments.current();
    }
  }
  if (!file) return wrong("check", {"check needs a FILE"});
  command.file = std::move(*file);
  return command;
}

// "NAME: VALUE", blanks around the value left out.
std::optional<std::pair<std::string, std::string>> header_of(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view value = text.substr(colon + 1);
  while (value.starts_with(' ')) value.remove_prefix(1);
  while (value.ends_with(' ')) value.remove_suffix(1);
  return std::pair(std::string(text.substr(0, colon)), std::string(value));
}

Parsed parse_explain(Arguments arguments) {
  std::optional<std::string> file;
  std::optional<std::string> key;
  config::Question question;
  std::optional<config::GraphFormat> format;
  bool about_request = false;
  while (arguments.next()) {
    if (!arguments.is_option()) {
      if (file) return arguments.second_file();
      file = arguments.current();
      continue;
    }
    const std::string_view option = arguments.current();
    if (option == "--graph") {
      format = arguments.has_value() ? config::graph_format(*arguments.value()) : config::GraphFormat::text;
      if (!format) return wrong("explain", {"--graph is text, mermaid or svg, not ", *arguments.value()});
      continue;
    }
    if (option != "--url" && option != "--method" && option != "--header" && option != "--key") {
      return arguments.unknown({"--url", "--method", "--header", "--key", "--graph", "--help"});
    }
    auto value = arguments.value();
    if (!value) return std::unexpected(std::move(value.error()));
    about_request = about_request || option != "--key";
    if (option == "--key") {
      key = std::move(*value);
    } else if (option == "--url") {
      question.url = std::move(*value);
    } else if (option == "--method") {
      question.method = std::move(*value);
    } else {
      auto header = header_of(*value);
      if (!header) return wrong("explain", {"--header takes 'NAME: VALUE', not ", *value});
      question.headers.push_back(std::move(*header));
    }
  }
  if (!file) return wrong("explain", {"explain needs a FILE"});
  if (key && about_request) return wrong("explain", {"explain takes --url or --key, not both"});
  if (format && (key || about_request)) return wrong("explain", {"explain takes --graph by itself"});
  if (format) return GraphCommand{std::move(*file), *format};
  if (key) return ExplainKeyCommand{std::move(*file), std::move(*key)};
  if (question.url.empty()) return wrong("explain", {"explain needs --url URL, --key KEY or --graph"});
  return ExplainUrlCommand{std::move(*file), std::move(question)};
}

net::Address default_admin() { return *net::Address::parse("127.0.0.1:9901"); }

// "IP:PORT", or as a URL: "http://IP:PORT/".
std::expected<net::Address, std::string> admin_of(std::string_view command, Arguments& arguments) {
  const auto value = arguments.value();
  if (!value) return std::unexpected(value.error());
  std::string_view text = *value;
  constexpr std::string_view scheme = "http://";
  if (text.starts_with(scheme)) text.remove_prefix(scheme.size());
  if (text.ends_with('/')) text.remove_suffix(1);
  const auto address = net::Address::parse(text);
  if (!address) return wrong(command, {"--admin: ", address.error().message});
  return *address;
}

Parsed parse_why(Arguments arguments) {
  WhyCommand command{.admin = default_admin(), .about = {}};
  while (arguments.next()) {
    if (!arguments.is_option()) {
      if (!command.about.empty()) return wrong("why", {"why tells of one, not also of ", arguments.current()});
      command.about = arguments.current();
      continue;
    }
    if (arguments.current() != "--admin") return arguments.unknown({"--admin", "--help"});
    const auto admin = admin_of("why", arguments);
    if (!admin) return std::unexpected(admin.error());
    command.admin = *admin;
  }
  if (command.about.empty()) return wrong("why", {"why needs a REQUEST_ID, a TRACE_ID or a CLIENT:PORT"});
  return command;
}

Parsed parse_top(Arguments arguments) {
  TopCommand command{.admin = default_admin()};
  while (arguments.next()) {
    if (arguments.current() == "--once" && !arguments.has_value()) {
      command.once = true;
      continue;
    }
    if (arguments.current() != "--admin") {
      if (arguments.is_option()) return arguments.unknown({"--admin", "--once", "--help"});
      return wrong("top", {"top takes an address as --admin ", arguments.current()});
    }
    const auto admin = admin_of("top", arguments);
    if (!admin) return std::unexpected(admin.error());
    command.admin = *admin;
  }
  return command;
}

}  // namespace

Parsed parse_command_line(std::span<const char* const> arguments) {
  if (arguments.empty()) return wrong("", {"a command is needed"});
  const std::string_view command = arguments.front();
  const auto rest = arguments.subspan(1);
  if (command == "--help" || command == "-h" || command == "help") return HelpCommand{help_all};
  const bool known = !help_of(command).empty() && help_of(command) != help_all;
  if (!known && command == "--version") return VersionCommand{};
  if (!known) {
    const std::string_view near = config::nearest(command, {"run", "check", "explain", "top", "why", "version"});
    return wrong(
        "", {"there is no command ", command, near.empty() ? "" : ": did you mean ", near, near.empty() ? "" : "?"});
  }
  for (const char* argument : rest) {
    if (std::string_view(argument) == "--help" || std::string_view(argument) == "-h")
      return HelpCommand{help_of(command)};
  }
  if (command == "run") return parse_run({command, rest});
  if (command == "check") return parse_check({command, rest});
  if (command == "explain") return parse_explain({command, rest});
  if (command == "top") return parse_top({command, rest});
  if (command == "why") return parse_why({command, rest});
  if (!rest.empty()) return wrong(command, {"version takes no arguments"});
  return VersionCommand{};
}

}  // namespace sluice::proxy
