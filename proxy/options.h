// The command line: arguments to one of seven commands, or to the reason why they are none. Pure; main acts on the
// result.
#pragma once

#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "config/commands.h"
#include "net/address.h"

namespace sluice::proxy {

inline constexpr int exit_good = 0;
inline constexpr int exit_failure = 1;  // at run time: a port is taken, say
inline constexpr int exit_usage = 2;  // the command line or the configuration is wrong
inline constexpr int exit_nothing = 3;  // what was asked for is not there

struct RunCommand {
  std::string file;
};
struct CheckCommand {
  std::string file;
  config::CheckFormat format = config::CheckFormat::text;
  config::Strict strict = config::Strict::no;
};
struct ExplainUrlCommand {
  std::string file;
  config::Question question;
};
struct ExplainKeyCommand {
  std::string file;
  std::string key;
};
struct GraphCommand {
  std::string file;
  config::GraphFormat format = config::GraphFormat::text;
};
struct TopCommand {
  net::Address admin;
  bool once = false;
};
struct WhyCommand {
  net::Address admin;
  std::string about;  // a request's id, its trace's, or a client's address, with the port of its connection or without
};
struct VersionCommand {};
struct HelpCommand {
  std::string_view text;  // for stdout; exit_good
};

using Command = std::variant<RunCommand, CheckCommand, ExplainUrlCommand, ExplainKeyCommand, GraphCommand, TopCommand,
                             WhyCommand, VersionCommand, HelpCommand>;

// `arguments` without the program's name. The error is for stderr, with a newline at its end; then exit_usage.
std::expected<Command, std::string> parse_command_line(std::span<const char* const> arguments);

}  // namespace sluice::proxy
