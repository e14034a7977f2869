// The command line: every command, every way to get it wrong.
#include "options.h"

#include <vector>

#include <doctest/doctest.h>

namespace sluice::proxy {
namespace {

std::expected<Command, std::string> parse(std::vector<const char*> arguments) { return parse_command_line(arguments); }

template <class T>
T good(std::vector<const char*> arguments) {
  auto command = parse(std::move(arguments));
  REQUIRE_MESSAGE(command.has_value(), command.error());
  REQUIRE(std::holds_alternative<T>(*command));
  return std::get<T>(*command);
}

std::string bad(std::vector<const char*> arguments) {
  const auto command = parse(std::move(arguments));
  REQUIRE_FALSE(command.has_value());
  CHECK(command.error().ends_with('\n'));
  return command.error().substr(0, command.error().find('\n'));
}

TEST_CASE("run") {
  CHECK(good<RunCommand>({"run", "--config", "a.toml"}).file == "a.toml");
  CHECK(good<RunCommand>({"run", "--config=a=b.toml"}).file == "a=b.toml");
  CHECK(good<RunCommand>({"run", "--config", ""}).file.empty());
  CHECK(bad({"run"}) == "sluice: run needs --config FILE");
  CHECK(bad({"run", "--config"}) == "sluice: --config needs a value");
  CHECK(bad({"run", "a.toml"}) == "sluice: run takes its file as --config a.toml");
  CHECK(bad({"run", "--conf", "x"}) == "sluice: run has no option --conf: did you mean --config?");
  CHECK(bad({"run", "--config", "a", "--config", "b"}) == "sluice: run takes one --config");
}

TEST_CASE("check") {
  CHECK(good<CheckCommand>({"check", "a.toml"}).format == config::CheckFormat::text);
  CHECK(good<CheckCommand>({"check", "--json", "a.toml"}).format == config::CheckFormat::json);
  CHECK(good<CheckCommand>({"check", "a.toml", "--json"}).file == "a.toml");
  CHECK(good<CheckCommand>({"check", "a.toml"}).strict == config::Strict::no);
  CHECK(good<CheckCommand>({"check", "a.toml", "--strict", "--json"}).strict == config::Strict::yes);
  CHECK(bad({"check", "--strikt", "x"}) == "sluice: check has no option --strikt: did you mean --strict?");
  CHECK(bad({"check", "--strict=1", "x"}) == "sluice: check has no option --strict: did you mean --strict?");
  CHECK(bad({"check"}) == "sluice: check needs a FILE");
  CHECK(bad({"check", "a", "b"}) == "sluice: check takes one file, not also b");
  CHECK(bad({"check", "--nonsense", "x"}) == "sluice: check has no option --nonsense");
  CHECK(bad({"check", "--json=1", "x"}) == "sluice: check has no option --json: did you mean --json?");
}

TEST_CASE("why") {
  const auto why = good<WhyCommand>({"why", "4bf92f3577b34da6a3ce929d0e0e4736"});
  CHECK(why.about == "4bf92f3577b34da6a3ce929d0e0e4736");
  CHECK(why.admin.text() == "127.0.0.1:9901");
  for (const char* admin : {"127.0.0.1:99", "http://127.0.0.1:99", "http://127.0.0.1:99/"}) {
    CHECK(good<WhyCommand>({"why", "--admin", admin, "a"}).admin.text() == "127.0.0.1:99");
  }
  CHECK(bad({"why"}) == "sluice: why needs a REQUEST_ID, a TRACE_ID or a CLIENT:PORT");
  CHECK(bad({"why", "a", "b"}) == "sluice: why tells of one, not also of b");
  CHECK(bad({"why", "a", "--admin"}) == "sluice: --admin needs a value");
  CHECK(bad({"why", "a", "--admin", "x"}).starts_with("sluice: --admin: "));
  CHECK(bad({"why", "a", "--admim", "x"}) == "sluice: why has no option --admim: did you mean --admin?");
  CHECK(bad({"whi"}) == "sluice: there is no command whi: did you mean why?");
}

TEST_CASE("explain") {
  const auto url = good<ExplainUrlCommand>(
      {"explain", "a.toml", "--url", "http://x/", "--method", "POST", "--header", "A:  b: c ", "--header=D:"});
  CHECK(url.file == "a.toml");
  CHECK(url.question.url == "http://x/");
  CHECK(url.question.method == "POST");
  REQUIRE(url.question.headers.size() == 2);
  CHECK(url.question.headers[0] == std::pair<std::string, std::string>("A", "b: c"));
  CHECK(url.question.headers[1] == std::pair<std::string, std::string>("D", ""));
  CHECK(good<ExplainUrlCommand>({"explain", "--url", "http://x/", "a.toml"}).question.method == "GET");
  CHECK(good<ExplainKeyCommand>({"explain", "a.toml", "--key", "drain.deadline"}).key == "drain.deadline");
  CHECK(bad({"explain"}) == "sluice: explain needs a FILE");
  CHECK(bad({"explain", "a.toml"}) == "sluice: explain needs --url URL, --key KEY or --graph");
  CHECK(good<GraphCommand>({"explain", "a.toml", "--graph"}).format == config::GraphFormat::text);
  CHECK(good<GraphCommand>({"explain", "--graph=svg", "a.toml"}).format == config::GraphFormat::svg);
  CHECK(bad({"explain", "a", "--graph=dot"}) == "sluice: --graph is text, mermaid or svg, not dot");
  CHECK(bad({"explain", "a", "--graph", "--key", "k"}) == "sluice: explain takes --graph by itself");
  CHECK(bad({"explain", "a", "b"}) == "sluice: explain takes one file, not also b");
  CHECK(bad({"explain", "a", "--url", "http://x/", "--key", "k"}) == "sluice: explain takes --url or --key, not both");
  CHECK(bad({"explain", "a", "--header", "no colon"}) == "sluice: --header takes 'NAME: VALUE', not no colon");
  CHECK(bad({"explain", "a", "--header", ": x"}) == "sluice: --header takes 'NAME: VALUE', not : x");
  CHECK(bad({"explain", "a", "--ulr", "x"}) == "sluice: explain has no option --ulr: did you mean --url?");
}

TEST_CASE("version, help, and what is no command") {
  good<VersionCommand>({"version"});
  good<VersionCommand>({"--version"});
  CHECK(bad({"version", "extra"}) == "sluice: version takes no arguments");
  for (const char* command : {"run", "check", "explain", "version"}) {
    CAPTURE(command);
    const auto help = good<HelpCommand>({command, "--help"}).text;
    CHECK(help.starts_with(std::string("sluice ") + command));
    CHECK(help.size() > 40);
  }
  CHECK(good<HelpCommand>({"--help"}).text.find("sluice explain") != std::string_view::npos);
  CHECK(good<HelpCommand>({"-h"}).text.find("Exit codes") != std::string_view::npos);
  CHECK(bad({}) == "sluice: a command is needed");
  CHECK(bad({"chekc"}) == "sluice: there is no command chekc: did you mean check?");
  CHECK(bad({"nonsense"}) == "sluice: there is no command nonsense");
  CHECK(bad({"--nonsense"}) == "sluice: there is no command --nonsense");
}

}  // namespace
}  // namespace sluice::proxy
