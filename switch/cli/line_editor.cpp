// SPDX-License-Identifier: MIT
#include "switch/cli/line_editor.h"

#include <algorithm>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr unsigned char ctrl(char letter) {
  return static_cast<unsigned char>(letter - 'A' + 1);
}

constexpr unsigned char kEscape = 0x1b;
constexpr unsigned char kDelete = 0x7f;

}  // namespace

std::string common_start(const std::vector<std::string>& words) {
  if (words.empty()) return {};
  std::string start = words.front();
  for (const std::string& word : words) {
    const auto [here, there] = std::mismatch(start.begin(), start.end(), word.begin(), word.end());
    start.erase(here, start.end());
  }
  return start;
}

void LineEditor::hide(std::string& screen) {
  screen += "\r\x1b[K";
}

// Only the part around the cursor, where the line is longer than the terminal is wide.
void LineEditor::show(std::string& screen) const {
  hide(screen);
  const std::size_t room = columns_ > prompt_.size() + 8 ? columns_ - prompt_.size() - 1 : 8;
  const std::size_t first = cursor_ >= room ? cursor_ - room + 1 : 0;
  const std::string_view shown = std::string_view(line_).substr(first, room);
  append(screen, "{}{}", prompt_, shown);
  if (const std::size_t back = shown.size() - (cursor_ - first); back != 0) {
    append(screen, "\x1b[{}D", back);
  }
}

LineEditor::Outcome LineEditor::key(unsigned char byte, std::string& screen) {
  Outcome outcome = Outcome::writing;
  if (!escape_.empty()) {
    sequence(byte);
  } else if (byte == kEscape) {
    escape_.push_back(static_cast<char>(byte));
    return outcome;
  } else if (byte < ' ' || byte == kDelete) {
    outcome = control(byte, screen);
  } else {
    outcome = plain(byte, screen);
  }
  if (outcome == Outcome::writing) show(screen);
  return outcome;
}

LineEditor::Outcome LineEditor::plain(unsigned char byte, std::string&) {
  if (line_.size() < kLineMax) {
    line_.insert(line_.begin() + static_cast<std::ptrdiff_t>(cursor_), static_cast<char>(byte));
    ++cursor_;
  }
  return Outcome::writing;
}

LineEditor::Outcome LineEditor::control(unsigned char byte, std::string& screen) {
  switch (byte) {
    case '\r':
    case '\n': screen += "\r\n"; return Outcome::line;
    case ctrl('C'): screen += "^C\r\n"; return Outcome::interrupted;
    case ctrl('D'):
      if (line_.empty()) {
        screen += "\r\n";
        return Outcome::ended;
      }
      erase(cursor_, cursor_ + 1);
      break;
    case ctrl('A'): cursor_ = 0; break;
    case ctrl('E'): cursor_ = line_.size(); break;
    case ctrl('B'): cursor_ -= cursor_ != 0 ? 1 : 0; break;
    case ctrl('F'): cursor_ = std::min(cursor_ + 1, line_.size()); break;
    case ctrl('H'):
    case kDelete: erase(cursor_ - (cursor_ != 0 ? 1 : 0), cursor_); break;
    case ctrl('K'): erase(cursor_, line_.size()); break;
    case ctrl('U'): erase(0, cursor_); break;
    case ctrl('W'): erase_word(); break;
    case ctrl('L'): screen += "\x1b[H\x1b[2J"; break;
    case ctrl('P'): earlier(); break;
    case ctrl('N'): later(); break;
    case ctrl('I'): complete(screen); break;
    default: break;
  }
  return Outcome::writing;
}

// ESC [ A and ESC O A are the same key; ESC [ 3 ~ is another kind. What is none of those we know
// ends with its first letter and does nothing.
void LineEditor::sequence(unsigned char byte) {
  constexpr std::size_t kLongest = 8;
  escape_.push_back(static_cast<char>(byte));
  if (escape_.size() == 2 && (byte == '[' || byte == 'O')) return;
  if (escape_.size() < kLongest && (byte < '@' || byte > '~')) return;
  const std::string key = escape_.substr(1, 1) == "O" ? "[" + escape_.substr(2) : escape_.substr(1);
  escape_.clear();
  if (key == "[A") earlier();
  if (key == "[B") later();
  if (key == "[C") cursor_ = std::min(cursor_ + 1, line_.size());
  if (key == "[D") cursor_ -= cursor_ != 0 ? 1 : 0;
  if (key == "[H" || key == "[1~" || key == "[7~") cursor_ = 0;
  if (key == "[F" || key == "[4~" || key == "[8~") cursor_ = line_.size();
  if (key == "[3~") erase(cursor_, cursor_ + 1);
}

void LineEditor::erase(std::size_t from, std::size_t to) {
  to = std::min(to, line_.size());
  if (from >= to) return;
  line_.erase(from, to - from);
  cursor_ = from;
}

void LineEditor::erase_word() {
  std::size_t from = cursor_;
  while (from != 0 && line_[from - 1] == ' ') --from;
  while (from != 0 && line_[from - 1] != ' ' && line_[from - 1] != '/') --from;
  if (from == cursor_ && from != 0) --from;
  erase(from, cursor_);
}

void LineEditor::recall(std::size_t at) {
  if (recalled_ == 0) written_ = line_;
  recalled_ = at;
  line_ = at == 0 ? written_ : history_[history_.size() - at];
  cursor_ = line_.size();
}

void LineEditor::earlier() {
  if (recalled_ < history_.size()) recall(recalled_ + 1);
}

void LineEditor::later() {
  if (recalled_ != 0) recall(recalled_ - 1);
}

void LineEditor::complete(std::string& screen) {
  const std::string before = line_.substr(0, cursor_);
  const std::vector<std::string> words = complete_ ? complete_(before) : std::vector<std::string>();
  if (words.empty()) {
    screen += '\a';
    return;
  }
  std::string start = common_start(words);
  if (words.size() == 1 && !start.ends_with('/')) start += ' ';
  if (start.size() > before.size() && start.size() + line_.size() < kLineMax) {
    line_.replace(0, cursor_, start);
    cursor_ = start.size();
  } else {
    append(screen, "\r\n{}\r\n", fmt::join(words, "  "));
  }
}

std::string LineEditor::take() {
  recalled_ = 0;
  cursor_ = 0;
  written_.clear();
  return std::exchange(line_, {});
}

void LineEditor::remember(const std::string& line) {
  if (line.empty() || (!history_.empty() && history_.back() == line)) return;
  if (history_.size() == kHistory) history_.erase(history_.begin());
  history_.push_back(line);
}

}  // namespace lanyard
