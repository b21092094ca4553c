// SPDX-License-Identifier: MIT
#include "switch/cli/console_session.h"

#include <algorithm>
#include <utility>

#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::string_view kPromptEnd = "$ ";

// "1000 Success", "3021 port/+ 04": what kind of line it is, and three digits.
bool is_of_kind(char kind, std::string_view line) {
  return line.size() >= 5 && line[0] == kind && line[4] == ' ' &&
         std::all_of(line.begin() + 1, line.begin() + 4,
                     [](char c) { return c >= '0' && c <= '9'; });
}

// The lines of the text, without their ends.
template <typename Function>
void for_each_line(std::string_view text, Function&& function) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    function(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

ConsoleReply read_reply(std::string text) {
  ConsoleReply reply;
  bool in_data = false;
  for_each_line(text, [&](std::string_view line) {
    if (in_data && line == ".") {
      in_data = false;
    } else if (in_data) {
      append(reply.data, "{}\n", line);
    } else if (line.starts_with("0000 ")) {
      in_data = true;
    } else if (is_of_kind('1', line)) {
      reply.status = line;
      reply.code = static_cast<int>(parse_integer(line.substr(0, 4)).value_or(0));
    } else if (is_of_kind('3', line)) {
      append(reply.events, "{}\n", line);
    }
  });
  reply.text = std::move(text);
  return reply;
}

}  // namespace

// The first one is the last thing that a switch says for now: a word and "$ ".
bool ConsoleReader::learn_prompt() {
  const std::size_t line = buffer_.rfind('\n');
  if (!buffer_.ends_with(kPromptEnd) || line == std::string::npos) return false;
  const std::string_view word =
      std::string_view(buffer_).substr(line + 1, buffer_.size() - line - 1 - kPromptEnd.size());
  if (word.empty() || word.find(' ') != std::string_view::npos) return false;
  prompt_ = buffer_.substr(line);
  return true;
}

std::optional<ConsoleReply> ConsoleReader::next() {
  if (prompt_.empty() && !learn_prompt()) return std::nullopt;
  const std::size_t prompt = buffer_.find(prompt_);
  if (prompt == std::string::npos) return std::nullopt;
  ConsoleReply reply = read_reply(buffer_.substr(0, prompt));
  buffer_.erase(0, prompt + prompt_.size());
  return reply;
}

std::string ConsoleReader::take_lines() {
  const std::size_t end = buffer_.rfind('\n');
  if (end == std::string::npos) return {};
  std::string lines = buffer_.substr(0, end + 1);
  buffer_.erase(0, end + 1);
  return lines;
}

std::vector<std::string> commands_in_help(std::string_view data) {
  std::vector<std::string> commands;
  bool in_table = false;
  for_each_line(data, [&](std::string_view line) {
    const std::vector<std::string_view> words = split_words(line);
    if (words.empty()) return;
    if (words[0].starts_with("----")) {
      in_table = true;
    } else if (in_table && (words.size() < 2 || !words[1].starts_with("===="))) {
      commands.emplace_back(words[0]);
    }
  });
  return commands;
}

std::vector<std::string> complete_command(const std::vector<std::string>& commands,
                                          std::string_view so_far) {
  std::vector<std::string> words;
  for (const std::string& command : commands) {
    if (!command.starts_with(so_far)) continue;
    const std::size_t slash = command.find('/', so_far.size());
    words.push_back(command.substr(0, slash == std::string::npos ? slash : slash + 1));
  }
  std::sort(words.begin(), words.end());
  words.erase(std::unique(words.begin(), words.end()), words.end());
  // One menu alone: what is in it.
  if (words.size() == 1 && words[0].ends_with('/') && words[0] != so_far) {
    return complete_command(commands, words[0]);
  }
  return words;
}

}  // namespace lanyard
