// SPDX-License-Identifier: MIT
//
// What comes from the console of a VDE switch, ours or the original: replies, and in between lines
// that nobody asked for.
//
// What makes it hard: nothing says how long a reply is. It ends with the prompt, which is a line
// that has not ended, and any read may stop in the middle of it, or go on behind it with the next
// line that nobody asked for. The first prompt says what it looks like. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace lanyard {

struct ConsoleReply {
  std::string text;    // all of it, without the prompt
  std::string data;    // the lines between "0000" and the dot
  std::string events;  // lines that nobody asked for, as debug/add brings them
  std::string status;  // "1022 Invalid argument"; empty when there is none
  int code = 0;        // of the status
  bool ok() const { return code == 0 || code == 1000; }
};

class ConsoleReader {
 public:
  void add(std::string_view bytes) { buffer_ += bytes; }
  // A reply that has come to its prompt.
  std::optional<ConsoleReply> next();
  // What has come and is no whole reply: lines that nobody asked for, as far as they are whole.
  std::string take_lines();
  // Everything that is left, at the end of the connection.
  std::string take_rest() { return std::exchange(buffer_, {}); }

 private:
  bool learn_prompt();

  std::string buffer_;
  std::string prompt_;  // with the end of line before it; empty until the first
};

// The commands in the reply to `help`.
std::vector<std::string> commands_in_help(std::string_view data);

// What a line so far can become: whole commands, or their next menu.
std::vector<std::string> complete_command(const std::vector<std::string>& commands,
                                          std::string_view so_far);

}  // namespace lanyard
