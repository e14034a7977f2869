#include "runtime/looks.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "runtime/worker.h"

namespace sluice::runtime {
namespace {

template <class Row>
void append(std::vector<Row>& to, std::vector<Row>&& more) {
  to.insert(to.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

// In their order, without what stands behind `certain`, at most `limit`; the place of the last one if some were left.
template <class Row>
std::optional<Place> order(std::vector<Row>& rows, const std::optional<Place>& certain, uint32_t limit) {
  std::ranges::sort(rows, {}, &Row::place);
  if (certain) std::erase_if(rows, [&](const Row& row) { return row.place > *certain; });
  if (rows.size() <= limit) return certain;
  rows.erase(rows.begin() + limit, rows.end());
  return rows.back().place;
}

}  // namespace

LookPage merge_looks(const Question& question, std::vector<Looked> workers) {
  LookPage page;
  std::optional<Place> certain;  // no worker has more rows before this one
  for (Looked& of : workers) {
    if (!of.whole) {
      Place reached = std::max(of.reached, question.after);
      if (of.rows() >= question.limit)
        reached = of.connections.empty() ? of.requests.back().place : of.connections.back().place;
      certain = std::min(certain.value_or(reached), reached);
    }
    append(page.connections, std::move(of.connections));
    append(page.requests, std::move(of.requests));
  }
  page.next = question.subject == Subject::connections ? order(page.connections, certain, question.limit)
                                                       : order(page.requests, certain, question.limit);
  return page;
}

bool Looks::ask(const Question& question, Done done) {
  if (jobs_.size() > waiting_max) return false;
  jobs_.push_back({question, std::move(done), std::vector<Looked>(crew_.size())});
  if (jobs_.size() == 1) round();
  return true;
}

bool Looks::asks(const Job& job, uint32_t worker) const {
  const Looked& so_far = job.workers[worker];
  return !so_far.whole && so_far.rows() < job.question.limit;
}

void Looks::round() {
  Job& job = jobs_.front();
  ++job.rounds;
  const auto questions = std::make_shared<std::vector<std::optional<Question>>>(crew_.size());
  for (uint32_t i = 0; i < crew_.size(); ++i) {
    if (job.question.worker && *job.question.worker != i) job.workers[i].whole = true;
    if (!asks(job, i)) continue;
    Question question = job.question;
    question.after = std::max(question.after, job.workers[i].reached);
    question.limit -= static_cast<uint32_t>(job.workers[i].rows());
    (*questions)[i] = question;
  }
  crew_.ask_all<Looked>(
      [questions](Worker& worker) {
        const std::optional<Question>& question = (*questions)[worker.index()];
        return question ? worker.clients().look(*question) : Looked{};
      },
      [this, questions](std::vector<Looked> answers) {
        Job& now = jobs_.front();
        for (uint32_t i = 0; i < answers.size(); ++i) {
          if (!(*questions)[i]) continue;
          append(now.workers[i].connections, std::move(answers[i].connections));
          append(now.workers[i].requests, std::move(answers[i].requests));
          now.workers[i].reached = answers[i].reached;
          now.workers[i].whole = answers[i].whole;
        }
        go_on();
      });
}

void Looks::go_on() {
  Job& job = jobs_.front();
  for (uint32_t i = 0; i < job.workers.size(); ++i) {
    if (asks(job, i) && job.rounds < rounds_max) return round();
  }
  Job over = std::move(job);
  jobs_.pop_front();
  if (!jobs_.empty()) round();
  over.done(merge_looks(over.question, std::move(over.workers)));
}

}  // namespace sluice::runtime
