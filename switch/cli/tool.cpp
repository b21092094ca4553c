// SPDX-License-Identifier: MIT
#include "switch/cli/tool.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "switch/base/text.h"
#include "switch/cli/program.h"
#include "switch/runtime/backend.h"

namespace lanyard {
namespace {

constexpr std::array kTools{
    Tool{"plug", &run_plug,
         "  -p, --port N              ask the VDE switch for its port N\n"
         "  -m, --mode OCTAL          of the data sockets\n"
         "  -g, --group NAME          of our data socket\n"
         "      --frame-max N         the longest frame that is sent (9234)\n"},
    Tool{"cable", &run_cable,
         "  -f, --file FILE           the two ends of a cable on each line; # "
         "begins a comment\n"
         "  -q, --quiet               say only what goes wrong\n"},
    Tool{"console", &run_console, "  -c, --command COMMAND     run it and end; repeatable\n"},
};

const ToolOption* find_option(std::span<const ToolOption> known, std::string_view name) {
  const auto at = std::find_if(known.begin(), known.end(), [&](const ToolOption& option) {
    return option.name == name ||
           (name.size() == 1 && option.letter != 0 && option.letter == name.front());
  });
  return at == known.end() ? nullptr : &*at;
}

}  // namespace

const Tool* find_tool(std::string_view name) {
  const auto at = std::find_if(kTools.begin(), kTools.end(),
                               [&](const Tool& tool) { return tool.name == name; });
  return at == kTools.end() ? nullptr : &*at;
}

ExitCode run_tool(const Tool& tool, const ToolWords& words) {
  const auto own = std::find(words.begin(), words.end(), "=");  // what follows is a command's
  const auto help = std::find_if(
      words.begin(), own, [](const std::string& word) { return word == "--help" || word == "-h"; });
  if (help == own) return tool.run(words);
  print_out(shortcut_help(*find_shortcut(tool.name)));
  return ExitCode::ok;
}

ExitCode tool_usage(std::string_view tool, std::string_view complaint) {
  std::fputs(fmt::format("lanyard {}: {}; see lanyard {} --help\n", tool, complaint, tool).c_str(),
             stderr);
  return ExitCode::usage;
}

const std::string* ToolArguments::find(std::string_view name) const {
  const auto at = std::find_if(options.rbegin(), options.rend(),
                               [&](const auto& option) { return option.first == name; });
  return at == options.rend() ? nullptr : &at->second;
}

ToolArguments read_tool_arguments(std::span<const ToolOption> known, const ToolWords& words) {
  ToolArguments found;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const bool ends = word == "--" || word == "=";
    if (ends || word.size() < 2 || word.front() != '-') {
      if (!ends) found.words.push_back(word);
      if (!ends) continue;
      const auto rest = words.begin() + static_cast<std::ptrdiff_t>(word == "--" ? i + 1 : i);
      found.words.insert(found.words.end(), rest, words.end());
      return found;
    }
    std::string_view name = std::string_view(word).substr(word[1] == '-' ? 2 : 1);
    const std::size_t equals = name.find('=');
    const ToolOption* const option = find_option(known, name.substr(0, equals));
    if (option == nullptr || (word[1] != '-' && name.size() != 1)) {
      found.complaint = fmt::format("there is no option {}", printable(word));
      return found;
    }
    std::string value;
    if (equals != std::string_view::npos) {
      value = name.substr(equals + 1);
    } else if (option->takes_value && i + 1 < words.size()) {
      value = words[++i];
    } else if (option->takes_value) {
      found.complaint = fmt::format("{} needs a value", printable(word));
      return found;
    }
    found.options.emplace_back(option->name, std::move(value));
  }
  return found;
}

// vde:// is where a switch listens for its server, and where it is plugged into
// for everybody else.
std::string end_address(const std::string& text) {
  const std::size_t colon = text.find("://");
  const std::string kind = text.substr(0, colon);
  if (colon == std::string::npos || kind == "vde") return "plug://" + text;
  BackendRegistry registry;
  register_builtin_backends(registry);
  return registry.find(kind) != nullptr ? text : "plug://" + text;
}

}  // namespace lanyard
