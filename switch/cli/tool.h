// SPDX-License-Identifier: MIT
//
// The commands that need no daemon and carry frames or console lines
// themselves: `lanyard plug`, `lanyard cable` and `lanyard console`. They take
// the options of the programs they stand in for, so their words are read here
// and not by the table of methods. Single thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "switch/cli/command_line.h"

namespace lanyard {

using ToolWords = std::vector<std::string>;

struct Tool {
  std::string_view name;
  ExitCode (*run)(const ToolWords& words);  // what stands behind the name
  std::string_view help;                    // of its own options
};

const Tool* find_tool(std::string_view name);
// With its help, when one of the first words asks for that.
ExitCode run_tool(const Tool& tool, const ToolWords& words);

ExitCode run_plug(const ToolWords& words);
ExitCode run_cable(const ToolWords& words);
ExitCode run_console(const ToolWords& words);

// A complaint on standard error.
ExitCode tool_usage(std::string_view tool, std::string_view complaint);

// Options as `-p N`, `--port N` and `--port=N`, anywhere before `--` or a word
// that is a '='.
struct ToolOption {
  char letter;  // 0: only a long form
  std::string_view name;
  bool takes_value;
};
struct ToolArguments {
  std::vector<std::pair<std::string_view, std::string>> options;  // by name, in order
  ToolWords words;
  std::string complaint;

  const std::string* find(std::string_view name) const;
};
ToolArguments read_tool_arguments(std::span<const ToolOption> known, const ToolWords& words);

// An end of a cable as people name it: the directory of a VDE switch, an
// address of libvdeplug or of a backend; as the address of a backend.
std::string end_address(const std::string& text);

}  // namespace lanyard
