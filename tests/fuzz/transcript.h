// SPDX-License-Identifier: MIT
//
// Reads what a console said, as strictly as the least forgiving client would: banner, prompts,
// asynchronous lines, and replies of at most one data block and exactly one status line. The reply
// of `load` has the echoes and replies of the script's lines before its own status.
#pragma once

#include <cctype>
#include <cstring>
#include <string>
#include <string_view>

#include "switch/control/banner.h"
#include "switch/control/command.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {

class Transcript {
 public:
  explicit Transcript(std::string_view text) : rest_(text) {
    require(skip(kBanner) && skip(kPrompt), "a session begins with banner and prompt");
    while (!rest_.empty()) item();
  }

  std::size_t prompts() const { return prompts_; }  // after the first
  bool ended() const { return ended_; }             // by a word, not by the end of input

 private:
  bool skip(std::string_view prefix) {
    if (!rest_.starts_with(prefix)) return false;
    rest_.remove_prefix(prefix.size());
    return true;
  }

  std::string_view line() {
    const std::size_t end = rest_.find('\n');
    require(end != std::string_view::npos, "a line has an end");
    const std::string_view taken = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return taken;
  }

  std::string_view plain_line() {
    const std::string_view taken = line();
    require(is_plain(taken), "a line that is sent has no control characters");
    return taken;
  }

  void item() {
    if (skip(kPrompt)) {
      ++prompts_;
    } else if (rest_ == "9999 END OF SESSION") {
      rest_ = {};
      ended_ = true;
    } else if (rest_.front() == '3') {
      asynchronous(plain_line());
    } else {
      reply();
      require(skip(kPrompt), "after a reply comes the prompt");
      ++prompts_;
    }
  }

  static void asynchronous(std::string_view text) {
    bool tag = text.size() > 5 && text[4] == ' ';
    for (std::size_t i = 1; tag && i < 4; ++i) tag = text[i] >= '0' && text[i] <= '7';
    require(tag, "an asynchronous line begins with 3 and an octal tag");
  }

  void reply() {
    bool script = false;
    bool status = false;
    while (!rest_.starts_with(kPrompt)) {
      if (rest_.starts_with("vde[")) {
        line();  // as the script has it
        script = true;
        status = false;
      } else if (skip(kDataStart)) {
        require(!status || script, "data come before the status");
        while (plain_line() != ".") {
        }
        status = false;
      } else {
        require(!status || script, "there is one status line");
        status_of(plain_line());
        status = true;
      }
    }
    require(status, "a reply ends with a status line");
  }

  static void status_of(std::string_view text) {
    if (text == "1000 Success") return;
    const bool shape = text.size() > 5 && text[0] == '1' && text[4] == ' ' &&
                       std::isdigit(static_cast<unsigned char>(text[1])) != 0 &&
                       std::isdigit(static_cast<unsigned char>(text[2])) != 0 &&
                       std::isdigit(static_cast<unsigned char>(text[3])) != 0;
    require(shape, "a status line is 1, three digits and a text");
    const int code = (text[1] - '0') * 100 + (text[2] - '0') * 10 + text[3] - '0';
    require(code != 0 && text.substr(5) == std::strerror(code), "the text is that of the errno");
  }

  std::string_view rest_;
  std::size_t prompts_ = 0;
  bool ended_ = false;
};

}  // namespace lanyard::fuzz
