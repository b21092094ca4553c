// SPDX-License-Identifier: MIT
//
// Help, printed from the tables.
#include <algorithm>

#include "switch/base/text.h"
#include "switch/cli/command_line.h"
#include "switch/cli/tool.h"

namespace lanyard {
namespace {

std::string upper(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  return out;
}

void row(std::string& out, std::string_view left, std::string_view right) {
  constexpr std::size_t kColumn = 28;
  append(out, "  {}", left);
  if (left.size() + 3 > kColumn) {
    append(out, "\n{:{}}", "", kColumn);
  } else {
    append(out, "{:{}}", "", kColumn - left.size() - 2);
  }
  append(out, "{}\n", right);
}

constexpr std::string_view kOptions =
    "Options, anywhere:\n"
    "  --json                    results and errors as JSON\n"
    "  --control SOCKET          of the daemon that is asked\n"
    "  --help, --version\n";

}  // namespace

std::string method_synopsis(const RpcMethod& method) {
  std::string out = fmt::format("{} {}", method.object, method.verb);
  for (const RpcParameter& parameter : method.parameters) {
    if (parameter.required) {
      append(out, " {}", upper(parameter.name));
    } else {
      append(out, " [{}={}]", parameter.name, upper(parameter.name));
    }
  }
  return out;
}

std::string help_text() {
  std::string out =
      "Usage: lanyard COMMAND ...\n       lanyard OBJECT VERB [ARGUMENTS]\n\n"
      "Networks for virtual machines. First: lanyard up\n\nCommands:\n";
  for (const Shortcut& shortcut : shortcuts()) {
    const std::string_view arguments = shortcut.arguments.substr(0, shortcut.arguments.find("..."));
    row(out,
        fmt::format("{}{}{}", shortcut.name, arguments.empty() ? "" : " ", arguments) +
            (arguments.size() < shortcut.arguments.size() ? "..." : ""),
        shortcut.help);
  }
  out += "\nObjects and their verbs:\n";
  for (const std::string_view object : rpc_objects()) {
    std::vector<std::string_view> verbs;
    for (const RpcMethod* method : methods_of(object)) verbs.push_back(method->verb);
    row(out, object, fmt::format("{}", fmt::join(verbs, ", ")));
  }
  append(
      out,
      "\n{}\nWords may be shortened: `lanyard po l` is `lanyard port list`. More: lanyard OBJECT "
      "--help, lanyard(1)\n",
      kOptions);
  return out;
}

std::string object_help(std::string_view object) {
  std::string out = fmt::format("Usage: lanyard {} VERB [ARGUMENTS]\n\n", object);
  for (const RpcMethod* method : methods_of(object))
    row(out, method_synopsis(*method), method->help);
  return out;
}

std::string method_help(const RpcMethod& method) {
  std::string out = fmt::format("Usage: lanyard {}\n\n{}\n", method_synopsis(method), method.help);
  if (!method.parameters.empty()) out += "\nArguments, in this order or as name=value:\n";
  for (const RpcParameter& parameter : method.parameters) {
    row(out, parameter.required ? std::string(parameter.name) : fmt::format("[{}]", parameter.name),
        parameter.help);
  }
  if (method.role == RpcRole::admin) out += "\nOnly for who may administer the daemon.\n";
  return out;
}

std::string shortcut_help(const Shortcut& shortcut) {
  const Tool* const tool = find_tool(shortcut.name);
  return fmt::format("Usage: lanyard {}{}{}\n\n{}\n", shortcut.name,
                     shortcut.arguments.empty() ? "" : " ", shortcut.arguments, shortcut.help) +
         (tool == nullptr ? "" : fmt::format("\nOptions:\n{}", tool->help));
}

}  // namespace lanyard
