// SPDX-License-Identifier: MIT
#include <csignal>
#include <string>
#include <vector>

#include "switch/cli/program.h"
#include "switch/cli/tool.h"

int main(int argc, char* argv[]) {
  // A pager that was left is no reason to die without a word.
  std::signal(SIGPIPE, SIG_IGN);
  std::vector<std::string> words(argv + (argc > 0 ? 1 : 0), argv + argc);
  if (!words.empty() && words.front() == "__complete") {
    words.erase(words.begin());
    return static_cast<int>(lanyard::complete_words(words));
  }
  // These have options of their own.
  if (const lanyard::Tool* const tool =
          words.empty() ? nullptr : lanyard::find_tool(words.front())) {
    words.erase(words.begin());
    return static_cast<int>(lanyard::run_tool(*tool, words));
  }
  return static_cast<int>(lanyard::Program(lanyard::parse_command_line(words)).run());
}
