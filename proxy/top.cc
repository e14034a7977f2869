#include "top.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>

#include "admin/client.h"

namespace sluice::proxy {
namespace {

constexpr int draw_every_ms = 1'000;

void print(std::FILE* to, std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), to);
  std::fflush(to);
}

// Keys come one by one and are not shown, as long as it lives.
class Keys {
 public:
  Keys() : set_(tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!set_) return;
    termios now = before_;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &now);
  }
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;
  ~Keys() {
    if (set_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  // Waits for the next drawing; true: `q` was pressed, or there is nobody who could press it.
  bool quit() const {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    if (poll(&input, 1, draw_every_ms) <= 0) return false;
    char key = 0;
    return read(STDIN_FILENO, &key, 1) != 1 || key == 'q';
  }

 private:
  termios before_{};
  bool set_;
};

// As much as the terminal shows: the first lines matter most, and long ones are cut.
std::string fitted(std::string_view text) {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return std::string(text);
  std::string screen;
  for (unsigned row = 1; row < size.ws_row && !text.empty(); ++row) {
    const std::string_view line = text.substr(0, text.find('\n'));
    screen += std::string(line.substr(0, size.ws_col)) + "\x1b[K\r\n";
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return screen;
}

}  // namespace

int top(const TopCommand& command) {
  const auto look = [&command] { return admin::fetch(command.admin, "/status", "text/plain"); };
  if (command.once) {
    const auto text = look();
    if (!text) {
      print(stderr, "sluice: " + text.error().message + "\n");
      return exit_failure;
    }
    print(stdout, *text);
    return exit_good;
  }
  const Keys keys;
  do {
    const auto text = look();
    print(stdout, "\x1b[H" + fitted(text ? *text : text.error().message + "\n") + "\x1b[J");
  } while (!keys.quit());
  return exit_good;
}

}  // namespace sluice::proxy
