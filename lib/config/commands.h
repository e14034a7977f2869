// `sluice check` and `sluice explain` as functions from a file to text and exit code, so that main only prints.
#pragma once

#include <cstdint>
#include <string>

#include "config/explain.h"
#include "config/graph.h"
#include "config/load.h"

namespace sluice::config {

// What a command prints on stdout and stderr, and its exit code: 0 good, 2 a configuration or an argument that is
// wrong.
struct Outcome {
  int code = 0;
  std::string out;
  std::string err;
};

enum class CheckFormat : std::uint8_t { text, json };
enum class Strict : std::uint8_t { no, yes };  // yes: a warning makes a file bad, too

// Every problem on stdout, warnings too; in text also one line that says whether the file is good.
Outcome check_command(const std::string& file, CheckFormat format, Strict strict, const LoadOptions& options = {});
// The answer on stdout; problems of the file or the question on stderr. Warnings of the file are not its subject and
// left out.
Outcome explain_command(const std::string& file, const Question& question, const LoadOptions& options = {});
Outcome explain_command(const std::string& file, std::string_view key, const LoadOptions& options = {});
Outcome graph_command(const std::string& file, GraphFormat format, const LoadOptions& options = {});

}  // namespace sluice::config
