// The pages /debug/connections, /debug/requests and /debug/waiting: what is asked for, and the answer as JSON. Pure.
#pragma once

#include <expected>
#include <string>

#include "admin/query.h"
#include "runtime/looks.h"

namespace sluice::runtime {

// The error is a sentence: a value that is none.
std::expected<Question, std::string> read_question(Subject subject, const admin::Query& query, uint32_t workers);

// A place as text, the id of its row: "came.worker" or "came.worker.request".
std::string place_text(const Place& place);
std::optional<Place> parse_place(std::string_view text);

std::string look_json(Subject subject, const LookPage& page);

}  // namespace sluice::runtime
