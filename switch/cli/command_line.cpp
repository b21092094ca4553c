// SPDX-License-Identifier: MIT
#include "switch/cli/command_line.h"

#include <algorithm>

#include "switch/base/text.h"
#include "switch/network/nearest.h"

namespace lanyard {
namespace {

// The word that `text` is, or is the only one to begin with; a complaint otherwise.
struct Match {
  std::string_view word;
  std::string complaint;
};
Match match(std::string_view text, const std::vector<std::string_view>& words,
            std::string_view what) {
  std::vector<std::string_view> candidates;
  for (const std::string_view word : words) {
    if (word == text) return {word, {}};
    if (!text.empty() && word.starts_with(text)) candidates.push_back(word);
  }
  if (candidates.size() == 1) return {candidates.front(), {}};
  if (!candidates.empty()) {
    return {{}, fmt::format("\"{}\" may be {}", printable(text), fmt::join(candidates, ", "))};
  }
  const std::string_view meant = nearest(text, words);
  if (!meant.empty()) {
    return {{},
            fmt::format("there is no {} \"{}\"; did you mean {}?", what, printable(text), meant)};
  }
  return {{},
          fmt::format("there is no {} \"{}\"; there are {}", what, printable(text),
                      fmt::join(words, ", "))};
}

std::string usage_of(const RpcMethod& method) {
  return "; usage: lanyard " + method_synopsis(method);
}

// Text as the parameter's type; nullopt when it is none.
std::optional<Json> typed(const RpcParameter& parameter, const std::string& text) {
  switch (parameter.type) {
    case RpcType::string: return Json(text);
    case RpcType::number: {
      const auto number = parse_integer(text);
      return number ? std::optional<Json>(*number) : std::nullopt;
    }
    case RpcType::boolean:
      if (text == "true" || text == "yes" || text == "on" || text == "1") return Json(true);
      if (text == "false" || text == "no" || text == "off" || text == "0") return Json(false);
      return std::nullopt;
    case RpcType::object: {
      auto json = parse_json(text);
      return json ? std::optional<Json>(json.take()) : std::nullopt;
    }
  }
  return std::nullopt;
}

std::string_view type_text(RpcType type) {
  switch (type) {
    case RpcType::string: return "text";
    case RpcType::number: return "a number";
    case RpcType::boolean: return "yes or no";
    case RpcType::object: return "a JSON object";
  }
  return "";
}

class Parser {
 public:
  explicit Parser(const std::vector<std::string>& words) : words_(words) {}

  CommandLine run() {
    options();
    if (line_.complaint.empty() && !line_.version) command();
    return std::move(line_);
  }

 private:
  void complain(std::string text) {
    if (line_.complaint.empty()) line_.complaint = std::move(text);
  }

  // Takes the options out, wherever they stand.
  void options() {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const std::string& word = words_[i];
      if (word == "--") {
        rest_.insert(rest_.end(), words_.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                     words_.end());
        return;
      }
      if (word == "--json" || word == "-j") {
        line_.json = true;
      } else if (word == "--help" || word == "-h") {
        line_.help = true;
      } else if (word == "--version" || word == "-V") {
        line_.version = true;
      } else if (word.starts_with("--control=")) {
        line_.control = word.substr(std::string_view("--control=").size());
      } else if (word == "--control" && i + 1 < words_.size()) {
        line_.control = words_[++i];
      } else if (word == "--control") {
        complain("--control needs the path of a socket");
      } else if (word.size() > 1 && word.front() == '-') {
        complain(
            fmt::format("there is no option {}; there are --json, --control SOCKET, --help and "
                        "--version",
                        printable(word)));
      } else {
        rest_.push_back(word);
      }
    }
  }

  void command() {
    if (rest_.empty()) return;
    std::vector<std::string_view> words;
    for (const Shortcut& shortcut : shortcuts()) words.push_back(shortcut.name);
    for (const std::string_view object : rpc_objects()) words.push_back(object);
    const Match first = match(rest_[0], words, "command");
    if (first.word.empty()) return complain(first.complaint);
    if (const Shortcut* shortcut = find_shortcut(first.word)) return take(*shortcut);
    line_.object = first.word;
    verb();
  }

  void take(const Shortcut& shortcut) {
    line_.shortcut = &shortcut;
    line_.arguments.assign(rest_.begin() + 1, rest_.end());
    if (line_.arguments.size() > shortcut.arguments_max) {
      complain(fmt::format("\"{}\" is one word too many; usage: lanyard {}{}{}",
                           printable(line_.arguments[shortcut.arguments_max]), shortcut.name,
                           shortcut.arguments.empty() ? "" : " ", shortcut.arguments));
    }
  }

  void verb() {
    std::vector<std::string_view> verbs;
    for (const RpcMethod* method : methods_of(line_.object)) verbs.push_back(method->verb);
    // As everybody's commands do: an object alone is its list.
    const bool has_list = std::find(verbs.begin(), verbs.end(), "list") != verbs.end();
    if (rest_.size() == 1) {
      if (line_.help) return;
      if (!has_list) {
        return complain(fmt::format("{} what? There are {}", line_.object, fmt::join(verbs, ", ")));
      }
    }
    const Match second = rest_.size() == 1 ? Match{"list", {}} : match(rest_[1], verbs, "verb");
    if (second.word.empty()) return complain(line_.object + ": " + second.complaint);
    line_.method = find_rpc_method(fmt::format("{}.{}", line_.object, second.word));
    if (!line_.help) parameters();
  }

  void parameters() {
    const RpcMethod& method = *line_.method;
    for (std::size_t i = 2; i < rest_.size(); ++i) {
      const std::string& word = rest_[i];
      const std::size_t equals = word.find('=');
      const RpcParameter* named =
          equals == std::string::npos ? nullptr : find(word.substr(0, equals));
      const RpcParameter* parameter = named != nullptr ? named : next_free();
      if (parameter == nullptr) {
        return complain(
            fmt::format("\"{}\" is one word too many{}", printable(word), usage_of(method)));
      }
      if (line_.params.contains(parameter->name)) {
        return complain(fmt::format("{} is there twice{}", parameter->name, usage_of(method)));
      }
      const std::string text = named != nullptr ? word.substr(equals + 1) : word;
      const auto value = typed(*parameter, text);
      if (!value) {
        return complain(fmt::format("{}: \"{}\" is not {} ({}){}", parameter->name, printable(text),
                                    type_text(parameter->type), parameter->help, usage_of(method)));
      }
      line_.params[std::string(parameter->name)] = *value;
    }
    for (const RpcParameter& parameter : method.parameters) {
      if (!parameter.required || line_.params.contains(parameter.name)) continue;
      return complain(
          fmt::format("{} is missing ({}){}", parameter.name, parameter.help, usage_of(method)));
    }
  }

  const RpcParameter* find(std::string_view name) const {
    for (const RpcParameter& parameter : line_.method->parameters) {
      if (parameter.name == name) return &parameter;
    }
    return nullptr;
  }

  const RpcParameter* next_free() const {
    for (const RpcParameter& parameter : line_.method->parameters) {
      if (!line_.params.contains(parameter.name)) return &parameter;
    }
    return nullptr;
  }

  const std::vector<std::string>& words_;
  std::vector<std::string> rest_;
  CommandLine line_;
};

}  // namespace

ExitCode exit_code_of(RpcCode code) {
  switch (code) {
    case RpcCode::invalid_params: return ExitCode::usage;
    case RpcCode::not_found: return ExitCode::not_found;
    case RpcCode::not_permitted: return ExitCode::not_permitted;
    case RpcCode::unreachable: return ExitCode::unreachable;
    case RpcCode::conflict: return ExitCode::conflict;
    default: return ExitCode::failed;
  }
}

CommandLine parse_command_line(const std::vector<std::string>& words) {
  return Parser(words).run();
}

std::vector<std::string_view> rpc_objects() {
  std::vector<std::string_view> objects;
  for (const RpcMethod& method : rpc_methods()) {
    if (objects.empty() || objects.back() != method.object) objects.push_back(method.object);
  }
  return objects;
}

std::vector<const RpcMethod*> methods_of(std::string_view object) {
  std::vector<const RpcMethod*> methods;
  for (const RpcMethod& method : rpc_methods()) {
    if (method.object == object) methods.push_back(&method);
  }
  return methods;
}

}  // namespace lanyard
