// SPDX-License-Identifier: MIT
#include "switch/cli/completion.h"

#include <algorithm>

#include "switch/base/text.h"
#include "switch/cli/command_line.h"
#include "switch/network/guard_settings.h"

namespace lanyard {
namespace {

using Words = std::vector<std::string>;

// Which rows of which answer name things of a kind.
struct Live {
  std::string_view kind;
  std::string_view method;
  std::string_view rows;
  std::string_view keys;  // separated by blanks
};
constexpr std::array kLive{
    Live{"network", "network.list", "networks", "name"},
    Live{"port", "port.list", "ports", "port"},
    Live{"vlan", "vlan.list", "vlans", "vlan"},
    Live{"lease", "lease.list", "leases", "address"},
    Live{"guest", "lease.list", "leases", "name mac"},
    Live{"forward", "forward.list", "forwards", "name"},
    Live{"plugin", "plugin.list", "plugins", "name"},
    Live{"plugin-command", "plugin.list", "plugins", "commands"},
    Live{"binding", "binding.list", "bindings", "address"},
    Live{"bandwidth-group", "bandwidth.list", "groups", "group"},
};

// Names with blanks or control characters are left out: no shell would take them as one word.
void add_plain(Words& words, const Json& value) {
  if (value.is_array()) {
    for (const Json& element : value) {
      if (!element.is_array()) add_plain(words, element);
    }
    return;
  }
  const std::string text = value.is_string()   ? value.get<std::string>()
                           : value.is_number() ? value.dump()
                                               : std::string();
  const bool plain = !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return c > ' ' && c < 0x7f && c != '\'' && c != '"' && c != '\\' && c != '$' && c != '`';
  });
  if (plain) words.push_back(text);
}

Words live_words(const Live& live, const Json& params, const CompletionSource& ask) {
  Words words;
  Json narrowed = Json::object();
  if (live.kind != "network" && params.contains("network")) narrowed["network"] = params["network"];
  const auto result = ask(live.method, narrowed);
  const std::string rows(live.rows);
  if (!result || !result->is_object() || !result->contains(rows)) return words;
  for (const Json& row : (*result)[rows]) {
    if (!row.is_object()) continue;
    for (const std::string_view key : split_words(live.keys)) {
      add_plain(words, row.value(std::string(key), Json()));
    }
  }
  return words;
}

// What a parameter may be.
Words values_of(std::string_view completes, const Json& params, const CompletionSource& ask) {
  if (completes == "file") return {std::string(kCompleteFiles)};
  Words words;
  if (completes == "event") {
    for (const RpcEventKind& kind : rpc_event_kinds()) words.emplace_back(kind.kind);
    return words;
  }
  if (completes == "guard-key") {
    for (const std::string_view key : kGuardKeys) words.emplace_back(key);
    return words;
  }
  if (completes == "object") {
    for (const std::string_view object : rpc_objects()) words.emplace_back(object);
    return words;
  }
  for (const Live& live : kLive) {
    if (live.kind == completes) return live_words(live, params, ask);
  }
  // Otherwise the words themselves are listed: "up down".
  for (const std::string_view word : split_words(completes)) words.emplace_back(word);
  return words;
}

Words first_words() {
  Words words;
  for (const Shortcut& shortcut : shortcuts()) words.emplace_back(shortcut.name);
  for (const std::string_view object : rpc_objects()) words.emplace_back(object);
  return words;
}

// The parameters that were given, by position or name, without the word that is being written.
struct Given {
  Json params = Json::object();
  const RpcParameter* next = nullptr;  // by position
};
Given given(const RpcMethod& method, const Words& words) {
  Given found;
  const auto next_free = [&]() -> const RpcParameter* {
    for (const RpcParameter& parameter : method.parameters) {
      if (!found.params.contains(parameter.name)) return &parameter;
    }
    return nullptr;
  };
  for (const std::string& word : words) {
    const std::size_t equals = std::min(word.find('='), word.size());
    const RpcParameter* parameter = next_free();
    std::size_t value = 0;
    for (const RpcParameter& named : method.parameters) {
      if (equals == word.size() || named.name != std::string_view(word).substr(0, equals)) continue;
      parameter = &named;
      value = equals + 1;
    }
    if (parameter != nullptr) found.params[std::string(parameter->name)] = word.substr(value);
  }
  found.next = next_free();
  return found;
}

Words method_words(const RpcMethod& method, const Words& before, const std::string& last,
                   const CompletionSource& ask) {
  const Given so_far = given(method, before);
  Words words;
  // The value of what is named: only the value, since shells cut at the '='.
  if (const std::size_t equals = last.find('='); equals != std::string::npos) {
    for (const RpcParameter& parameter : method.parameters) {
      if (parameter.name != std::string_view(last).substr(0, equals)) continue;
      for (const std::string& value : values_of(parameter.completes, so_far.params, ask)) {
        words.push_back(value == kCompleteFiles ? value
                                                : fmt::format("{}={}", parameter.name, value));
      }
      return words;
    }
  }
  if (so_far.next != nullptr) words = values_of(so_far.next->completes, so_far.params, ask);
  for (const RpcParameter& parameter : method.parameters) {
    if (!parameter.required && !so_far.params.contains(parameter.name)) {
      words.push_back(std::string(parameter.name) + "=");
    }
  }
  return words;
}

Words candidates(const Words& before, const std::string& last, const CompletionSource& ask) {
  if (last.starts_with('-')) return {"--json", "--control", "--help", "--version"};
  if (!before.empty() && before.back() == "--control") return {std::string(kCompleteFiles)};
  Words rest;
  for (std::size_t i = 0; i < before.size(); ++i) {
    if (before[i] == "--control") {
      ++i;
    } else if (!before[i].starts_with('-')) {
      rest.push_back(before[i]);
    }
  }
  if (rest.empty()) return first_words();
  // Shortened words count as what they stand for.
  const CommandLine first = parse_command_line({rest[0], "--help"});
  if (first.shortcut != nullptr) {
    Words words = values_of(first.shortcut->completes, Json::object(), ask);
    if (first.shortcut->name == "qemu") words.insert(words.end(), {"vm=", "for="});
    return words;
  }
  if (first.object.empty()) return {};
  if (rest.size() == 1) {
    Words words;
    for (const RpcMethod* method : methods_of(first.object)) words.emplace_back(method->verb);
    return words;
  }
  const CommandLine both = parse_command_line({rest[0], rest[1], "--help"});
  if (both.method == nullptr) return {};
  return method_words(*both.method, {rest.begin() + 2, rest.end()}, last, ask);
}

}  // namespace

std::vector<std::string> complete(const Words& words, const CompletionSource& ask) {
  if (words.empty()) return first_words();
  const std::string& last = words.back();
  Words found = candidates({words.begin(), words.end() - 1}, last, ask);
  std::erase_if(found, [&](const std::string& word) {
    return word != kCompleteFiles && !word.starts_with(last);
  });
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

std::string bash_completion() {
  return R"(# bash completion for lanyard(1); the program itself knows the words.
_lanyard() {
    local word words reply
    COMPREPLY=()
    # Words as they were written: bash would cut them at ':' and '='.
    read -r -a words <<<"${COMP_LINE:0:COMP_POINT}"
    case ${COMP_LINE:0:COMP_POINT} in
        *[[:space:]]) words+=("") ;;
    esac
    reply=$("${words[0]}" __complete "${words[@]:1}" 2>/dev/null) || return 0
    word=${words[${#words[@]} - 1]}
    if [[ $reply == $'\x1f'files* ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "${word#*=}")
        return 0
    fi
    [[ -n $reply ]] && mapfile -t COMPREPLY <<<"$reply"
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
    # What stands before the last ':' or '=' is there already.
    local cut=${word%"${word##*[:=]}"}
    [[ $COMP_WORDBREAKS == *[:=]* && -n $cut ]] && COMPREPLY=("${COMPREPLY[@]#"$cut"}")
    return 0
}
complete -F _lanyard lanyard
)";
}

}  // namespace lanyard
