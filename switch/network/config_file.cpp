// SPDX-License-Identifier: MIT
//
// TOML becomes a JSON tree with the place of every key and value beside it; everything else is the
// same for files and for gateways.
#include "switch/network/config_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>

#include "switch/base/fd.h"
#include "switch/network/config_defaults.h"
#include "switch/network/config_file_toml.h"

namespace lanyard {
namespace {

struct Place {
  unsigned line = 0;
  unsigned column = 0;
};

struct Places {
  std::map<ConfigPath, Place> keys;
  std::map<ConfigPath, Place> values;
};

Place place_of(const toml::source_region& source) {
  return {source.begin.line, source.begin.column};
}

// Tables nest five deep in what we read; deeper ones only serve to exhaust the stack.
constexpr std::size_t kDepthMax = 8;
constexpr std::size_t kDotsMax = 16;

Json tree_of(const toml::node& node, ConfigPath& path, Places& places);

Json tree_of_table(const toml::table& table, ConfigPath& path, Places& places) {
  Json object = Json::object();
  for (const auto& [key, value] : table) {
    path.emplace_back(key.str());
    places.keys[path] = place_of(key.source());
    object[std::string(key.str())] = tree_of(value, path, places);
    path.pop_back();
  }
  return object;
}

Json tree_of_array(const toml::array& array, ConfigPath& path, Places& places) {
  Json list = Json::array();
  for (const toml::node& element : array) {
    path.push_back(std::to_string(list.size()));
    list.push_back(tree_of(element, path, places));
    path.pop_back();
  }
  return list;
}

// Dates and what lies too deep become null, which no key takes; floats keep their type, so that
// they can be named in the complaint.
Json tree_of(const toml::node& node, ConfigPath& path, Places& places) {
  places.values[path] = place_of(node.source());
  if (path.size() > kDepthMax) return nullptr;
  if (const auto* table = node.as_table()) return tree_of_table(*table, path, places);
  if (const auto* array = node.as_array()) return tree_of_array(*array, path, places);
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return number->get();
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* boolean = node.as_boolean()) return boolean->get();
  return nullptr;
}

// What the parser should not see, in a walk over quotes and comments:
// - endless dotted keys, since it makes a table for each part and takes them down recursively;
// - bytes beyond ASCII where no text is: TOML forbids them, and so the complaint is a clear one;
// - texts of several lines, which nothing here needs and which would make this walk less certain.
class Gatekeeper {
 public:
  Gatekeeper(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  std::optional<ConfigProblem> find() {
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    if (text_.starts_with(kByteOrderMark)) text_.remove_prefix(kByteOrderMark.size());
    for (std::size_t i = 0; i < text_.size() && !problem_; ++i) {
      column_ = static_cast<unsigned>(i - line_begin_ + 1);
      if (text_[i] == '\n') {
        next_line(i);
      } else if (quote_ != 0) {
        i += in_quotes(i);
      } else if (!in_comment_) {
        outside(i);
      }
    }
    return std::move(problem_);
  }

 private:
  void complain(std::string sentence) {
    if (!problem_) problem_ = ConfigProblem{file_, line_, column_, std::move(sentence)};
  }

  void next_line(std::size_t i) {
    ++line_;
    line_begin_ = i + 1;
    dots_ = 0;
    quote_ = 0;
    in_comment_ = false;
  }

  static bool is_ascii(char c) { return static_cast<unsigned char>(c) < 0x80; }

  // How many bytes more are done with.
  std::size_t in_quotes(std::size_t i) {
    if (text_[i] == quote_) quote_ = 0;
    if (text_[i] != '\\' || quote_ != '"' || i + 1 == text_.size()) return 0;
    if (!is_ascii(text_[i + 1])) complain("there is no such escape in a text");
    return text_[i + 1] == '\n' ? 0 : 1;
  }

  void outside(std::size_t i) {
    const char c = text_[i];
    if (c == '#') {
      in_comment_ = true;
    } else if (c == '"' || c == '\'') {
      quote_ = c;
      if (text_.substr(i).starts_with(std::string(3, c))) {
        complain("no text here has several lines; write it in single quotes or double ones");
      }
    } else if (c == '.' && ++dots_ > kDotsMax) {
      complain(fmt::format("a line has more than {} dots outside of quotes; texts stand in quotes",
                           kDotsMax));
    } else if (!is_ascii(c)) {
      complain("letters beyond ASCII stand in quotes only");
    }
  }

  std::string_view text_;
  const std::string& file_;
  std::optional<ConfigProblem> problem_;
  unsigned line_ = 1;
  unsigned column_ = 1;
  std::size_t line_begin_ = 0;
  std::size_t dots_ = 0;
  char quote_ = 0;
  bool in_comment_ = false;
};

// The place of the nearest part that the file has.
Place place_of(const ConfigReport::Item& item, const Places& places) {
  ConfigPath path = item.path;
  if (item.at_key) {
    if (const auto at = places.keys.find(path); at != places.keys.end()) return at->second;
  }
  while (!path.empty()) {
    if (const auto at = places.values.find(path); at != places.values.end() && at->second.line) {
      return at->second;
    }
    path.pop_back();
  }
  return {1, 1};
}

ConfigOutcome whole_file_problem(const std::string& file, std::string text) {
  ConfigOutcome outcome;
  outcome.problems.push_back({file, 0, 0, std::move(text)});
  return outcome;
}

Result<std::string> read_whole(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
  if (!file) return Error{errno, std::strerror(errno)};
  std::string text;
  std::array<char, 16384> piece{};
  while (text.size() <= kConfigSizeMax) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{errno, std::strerror(errno)};
    if (got == 0) break;
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

std::string ConfigProblem::message() const {
  return line == 0 ? fmt::format("{}: {}", file, text)
                   : fmt::format("{}:{}:{}: {}", file, line, column, text);
}

Configuration default_configuration(bool privileged) {
  Json tree = {{"network", {{"nat", {{"kind", "nat"}}}}}};
  if (privileged) tree["network"]["host-only"] = {{"kind", "host-only"}};
  ConfigReport nothing;
  return decode_configuration(tree, nothing);
}

ConfigOutcome parse_config(std::string_view text, const std::string& file) {
  if (text.size() > kConfigSizeMax) {
    return whole_file_problem(file, fmt::format("the file is larger than {} bytes; is it the right "
                                                "one?",
                                                kConfigSizeMax));
  }
  if (auto unfit = Gatekeeper(text, file).find()) {
    ConfigOutcome outcome;
    outcome.problems.push_back(std::move(*unfit));
    return outcome;
  }
  const toml::parse_result parsed = toml::parse(text);
  if (!parsed) {
    const Place place = place_of(parsed.error().source());
    ConfigOutcome outcome;
    outcome.problems.push_back(
        {file, place.line, place.column, printable(parsed.error().description())});
    return outcome;
  }
  Places places;
  ConfigPath path;
  ConfigReport report;
  ConfigOutcome outcome;
  outcome.configuration = decode_configuration(tree_of_table(parsed.table(), path, places), report);
  for (const ConfigReport::Item& item : report.items()) {
    const Place place = place_of(item, places);
    outcome.problems.push_back({file, place.line, place.column, config_message(item)});
  }
  std::stable_sort(outcome.problems.begin(), outcome.problems.end(),
                   [](const ConfigProblem& a, const ConfigProblem& b) {
                     return std::pair(a.line, a.column) < std::pair(b.line, b.column);
                   });
  return outcome;
}

ConfigOutcome read_config_file(const std::string& path) {
  auto text = read_whole(path);
  if (text) return parse_config(text.value(), path);
  return whole_file_problem(
      path, fmt::format("cannot be read: {}{}", text.error().text,
                        text.error().code == ENOENT
                            ? "; `lanyard dump` prints one to begin with, see lanyard.toml(5)"
                            : ""));
}

}  // namespace lanyard
