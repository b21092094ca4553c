// SPDX-License-Identifier: MIT
//
// Holds the man pages (and the README's command lines) against the tables the program runs from:
// every option, command, backend, drop reason and debug category is described, none that does not
// exist is, and every command line shown is one the parser takes without a complaint.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>
#include <vector>

#include "backend/vde_wire.h"
#include "switch/base/line_reader.h"
#include "switch/base/socket_directory.h"
#include "switch/base/text.h"
#include "switch/bridge/drop.h"
#include "switch/bridge/mac_table.h"
#include "switch/cli/command_line.h"
#include "switch/control/command.h"
#include "switch/control/debug_hub.h"
#include "switch/daemon/networks_options.h"
#include "switch/daemon/options.h"
#include "switch/frame/ethernet.h"
#include "switch/network/config_file.h"
#include "switch/network/rpc_methods.h"
#include "switch/runtime/backend.h"

namespace lanyard {
namespace {

using Lines = std::vector<std::string>;

Lines read_lines(const std::string& name) {
  std::ifstream file(std::string(LANYARD_SOURCE_DIR) + "/" + name);
  EXPECT_TRUE(file) << name << " cannot be read";
  Lines lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  return lines;
}

Lines all_pages() {
  Lines all;
  for (const char* name : {"man/lanyardd.1", "man/lanyard-console.7", "man/lanyard-backends.7"}) {
    const Lines page = read_lines(name);
    all.insert(all.end(), page.begin(), page.end());
  }
  return all;
}

// The lines between ".Sh TITLE" (or ".Ss TITLE") and the next heading of that kind.
Lines section(const Lines& page, const std::string& heading) {
  Lines found;
  bool inside = false;
  for (const std::string& line : page) {
    if (line.starts_with(".Sh ") || line.starts_with(heading.substr(0, 4))) {
      inside = line == heading;
    } else if (inside) {
      found.push_back(line);
    }
  }
  EXPECT_FALSE(found.empty()) << "no section '" << heading << "'";
  return found;
}

// The characters behind roff's escapes, as far as the pages use them.
std::string unescaped(std::string text) {
  for (const auto& [escape, plain] :
       {std::pair{"\\e", "\\"}, {"\\(dq", "\""}, {"\\ ", " "}, {"\\&", ""}}) {
    for (std::size_t at = 0; (at = text.find(escape, at)) != std::string::npos;) {
      text.replace(at, std::string_view(escape).size(), plain);
    }
  }
  return text;
}

// A line of mdoc macros as a reader sees it: "It Fl n , Fl -numports Ar N" is "-n, --numports N".
std::string rendered(std::string_view line) {
  static const std::set<std::string_view> kMarkup{"It", "Ic", "Ar", "Cm", "Dv", "Li", "No"};
  std::string text;
  std::string closing;
  bool join = true;
  bool dash = false;
  for (const std::string_view word : split_words(line)) {
    if (word == "Fl") {
      dash = true;
    } else if (word == "Op") {
      text += text.empty() ? "[" : " [";
      closing = "]";
      join = true;
    } else if (word == "Ns") {
      join = true;
    } else if (word == ",") {
      text += ",";
    } else if (!kMarkup.contains(word)) {
      if (!join) text += ' ';
      if (dash) text += '-';
      text += word;
      join = dash = false;
    }
  }
  return unescaped(text + closing);
}

struct Item {
  std::string head;  // rendered
  std::string body;  // the first paragraph's text lines, joined
};

std::vector<Item> items(const Lines& lines) {
  std::vector<Item> found;
  for (const std::string& line : lines) {
    if (line.starts_with(".It ")) {
      found.push_back({rendered(line.substr(1)), ""});
    } else if (!found.empty() && !line.starts_with('.')) {
      std::string& body = found.back().body;
      body += body.empty() ? line : " " + line;
    }
  }
  return found;
}

std::set<std::string> heads(const Lines& lines) {
  std::set<std::string> found;
  for (const Item& item : items(lines)) {
    EXPECT_TRUE(found.insert(item.head).second) << "'" << item.head << "' is described twice";
  }
  return found;
}

void expect_same(const std::set<std::string>& shown, const std::set<std::string>& expected) {
  for (const std::string& head : expected) {
    EXPECT_TRUE(shown.contains(head)) << "not in the page: " << head;
  }
  for (const std::string& head : shown) {
    EXPECT_TRUE(expected.contains(head)) << "only in the page: " << head;
  }
}

// The lines of literal blocks, with what a trailing backslash continues joined.
Lines examples(const Lines& page) {
  Lines found;
  bool inside = false;
  bool continued = false;
  for (const std::string& raw : page) {
    if (raw.starts_with(".Bd") || raw.starts_with(".Ed") || raw.starts_with("```")) {
      inside = raw.starts_with("```") ? !inside : raw.starts_with(".Bd");
    } else if (inside) {
      std::string line = unescaped(raw);
      const bool more = line.ends_with('\\');
      if (more) line.pop_back();
      if (continued) {
        found.back() += line;
      } else {
        found.push_back(line);
      }
      continued = more;
    }
  }
  return found;
}

CommandTable all_commands() {
  CommandTable table;
  add_all_commands(table);
  return table;
}

bool is_command(const CommandTable& table, std::string_view path) {
  const Command* const row = table.match(path);
  return row != nullptr && row->path == path;
}

bool is_option(std::span<const OptionRow> rows, std::string_view name) {
  int prefixes = 0;
  const bool two_dashes = name.starts_with('-');
  if (two_dashes) name.remove_prefix(1);
  for (const OptionRow& row : rows) {
    if (!two_dashes && name.size() == 1 && name.front() == row.letter) return true;
    std::vector<std::string_view> names = split_words(row.aliases);
    names.push_back(row.name);
    for (const std::string_view known : names) {
      if (known == name) return true;
      prefixes += known.starts_with(name) ? 1 : 0;
    }
  }
  return prefixes == 1;
}

std::string with_commas(std::size_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, ",");
  return text;
}

bool contains(const Lines& page, const std::string& text) {
  return std::any_of(page.begin(), page.end(),
                     [&](const auto& line) { return line.find(text) != std::string::npos; });
}

// ---- tables ----

std::set<std::string> option_heads(std::span<const OptionRow> rows) {
  std::set<std::string> expected;
  for (const OptionRow& row : rows) {
    std::string head = row.letter != 0 ? fmt::format("-{}, --{}", row.letter, row.name)
                                       : fmt::format("--{}", row.name);
    for (const std::string_view alias : split_words(row.aliases)) append(head, ", --{}", alias);
    if (!row.argument.empty()) append(head, " {}", row.argument);
    expected.insert(head);
  }
  return expected;
}

TEST(ManPages, DescribeEveryOptionAndNoOther) {
  const Lines page = read_lines("man/lanyardd.1");
  expect_same(heads(section(page, ".Sh OPTIONS")), option_heads(option_rows()));
  expect_same(heads(section(page, ".Sh NETWORKS")), option_heads(networks_option_rows()));
}

TEST(ManPages, DescribeEveryCommandAndNoOther) {
  std::set<std::string> expected;
  const CommandTable table = all_commands();
  for (const Command& row : table.rows()) {
    if (row.run == nullptr) continue;
    std::string head(row.path);
    if (!row.synopsis.empty()) append(head, " {}", row.synopsis);
    expected.insert(head);
  }
  expect_same(heads(section(read_lines("man/lanyard-console.7"), ".Sh COMMANDS")), expected);
}

TEST(ManPages, DescribeEveryBackendWithItsOptions) {
  const Lines page = read_lines("man/lanyard-backends.7");
  BackendRegistry registry;
  register_builtin_backends(registry);
  std::size_t headings = 0;
  for (const std::string& line : section(page, ".Sh DESCRIPTION")) {
    headings += line.starts_with(".Ss ") ? 1U : 0U;
  }
  EXPECT_EQ(headings, registry.rows().size());
  for (const Backend& backend : registry.rows()) {
    const Lines text = section(page, fmt::format(".Ss {}", backend.kind));
    std::string synopsis;
    for (const std::string& line : examples(text)) synopsis += trim(line);
    EXPECT_EQ(synopsis, backend.synopsis);
    std::set<std::string> keys;
    const std::string_view query = backend.synopsis.substr(backend.synopsis.find('?') + 1);
    for (std::size_t at = 0; at < query.size();) {
      const std::size_t end = std::min(query.find('&', at), query.size());
      keys.emplace(query.substr(at, end - at));
      at = end + 1;
    }
    expect_same(heads(text), keys);
  }
}

TEST(ManPages, ExplainEveryDropReasonInItsOwnWords) {
  const std::vector<Item> shown =
      items(section(read_lines("man/lanyard-console.7"), ".Sh DROP REASONS"));
  ASSERT_EQ(shown.size(), kDropReasons);
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    EXPECT_EQ(shown[i].head, kDropTexts[i].name);
    EXPECT_TRUE(shown[i].body.starts_with(kDropTexts[i].sentence))
        << kDropTexts[i].name << " is '" << kDropTexts[i].sentence << "', not '" << shown[i].body
        << "'";
  }
}

TEST(ManPages, ListEveryDebugCategoryWithItsCode) {
  std::set<std::string> shown;
  for (const Item& item :
       items(section(read_lines("man/lanyard-console.7"), ".Sh ASYNCHRONOUS LINES"))) {
    const auto words = split_words(item.head);
    ASSERT_GE(words.size(), 2U) << item.head;
    shown.insert(fmt::format("{} {}", words[0], words[1]));
  }
  std::set<std::string> expected;
  for (const DebugCategory& category : debug_categories()) {
    expected.insert(fmt::format("3{:03o} {}", category.tag, category.path));
  }
  expect_same(shown, expected);
}

// ---- the command line for people and its file ----

// The item with that head holds the help, whose first letter may be large.
void expect_explained(const Lines& lines, const std::string& head, std::string_view help) {
  for (const Item& item : items(lines)) {
    if (item.head == head) {
      EXPECT_NE(item.body.find(help.substr(1)), std::string::npos)
          << head << " is '" << help << "', not '" << item.body << "'";
    }
  }
}

TEST(ManPages, DescribeEveryMethodWithItsParameters) {
  const Lines text = section(read_lines("man/lanyard.1"), ".Sh OBJECTS AND VERBS");
  std::set<std::string> expected;
  for (const RpcMethod& method : rpc_methods()) {
    const std::string head = method_synopsis(method);
    expected.insert(head);
    expect_explained(text, head, method.help);
    for (const RpcParameter& parameter : method.parameters) {
      if (parameter.name == "network") continue;
      expect_explained(text, head, fmt::format(" {}: {}.", parameter.name, parameter.help));
    }
  }
  expect_same(heads(text), expected);
}

TEST(ManPages, DescribeEveryShortcut) {
  const Lines text = section(read_lines("man/lanyard.1"), ".Sh COMMANDS");
  std::set<std::string> expected;
  for (const Shortcut& shortcut : shortcuts()) {
    const std::string head = fmt::format("{}{}{}", shortcut.name,
                                         shortcut.arguments.empty() ? "" : " ", shortcut.arguments);
    expected.insert(head);
    expect_explained(text, head, shortcut.help);
  }
  expect_same(heads(text), expected);
}

TEST(ManPages, DescribeEveryEvent) {
  const Lines text = section(read_lines("man/lanyard.1"), ".Sh EVENTS");
  std::set<std::string> expected;
  for (const RpcEventKind& event : rpc_event_kinds()) {
    expected.emplace(event.kind);
    expect_explained(text, std::string(event.kind), event.help);
  }
  expect_same(heads(text), expected);
}

TEST(ManPages, DescribeEveryKeyOfTheFile) {
  const Lines page = read_lines("man/lanyard.toml.5");
  std::map<std::string, std::set<std::string>> expected;
  for (const ConfigKey& key : config_keys()) {
    const std::size_t dot = key.key.rfind('.');
    const std::string table = ".Ss " + key.key.substr(0, dot);
    expected[table].insert(key.key.substr(dot + 1));
    expect_explained(section(page, table), key.key.substr(dot + 1), key.help);
  }
  for (const auto& [table, keys] : expected) expect_same(heads(section(page, table)), keys);
}

TEST(ManPages, ShowFilesWithoutProblems) {
  Lines lines = section(read_lines("man/lanyard.toml.5"), ".Sh EXAMPLES TO PASTE");
  for (const std::string& line :
       section(read_lines("man/lanyard-networks.7"), ".Sh EXAMPLES TO PASTE")) {
    lines.push_back(line);
  }
  std::string text;
  int shown = 0;
  for (const std::string& line : lines) {
    if (line.starts_with(".Bd")) {
      text.clear();
    } else if (line.starts_with(".Ed")) {
      if (text.starts_with("lanyard ")) continue;  // lines of a shell
      ++shown;
      const ConfigOutcome outcome = parse_config(unescaped(text), "page");
      for (const ConfigProblem& problem : outcome.problems) ADD_FAILURE() << problem.message();
    } else {
      text += line + "\n";
    }
  }
  EXPECT_GE(shown, 5);
}

// As a shell reads them; what is between quotes is one word.
std::vector<std::string> shell_words(std::string_view line) {
  std::vector<std::string> words;
  bool quoted = false;
  for (std::size_t end = line.find('"'); !line.empty(); end = line.find('"')) {
    const std::string_view piece = line.substr(0, end);
    if (quoted) {
      words.emplace_back(piece);
    } else {
      for (const std::string_view word : split_words(piece)) words.emplace_back(word);
    }
    quoted = !quoted;
    line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  }
  return words;
}

TEST(ManPages, ShowLinesThatLanyardTakes) {
  Lines lines = examples(read_lines("man/lanyard.1"));
  for (const char* name : {"man/lanyard-networks.7", "README.md"}) {
    for (const std::string& line : examples(read_lines(name))) lines.push_back(line);
  }
  int shown = 0;
  for (const std::string& line : lines) {
    const std::string_view command = std::string_view(line).substr(0, line.find('#'));
    std::vector<std::string> words = shell_words(command);
    if (!words.empty() && words.front() == "sudo") words.erase(words.begin());
    if (words.size() < 2 || words.front() != "lanyard") continue;
    ++shown;
    words.erase(words.begin());
    const CommandLine read = parse_command_line(words);
    EXPECT_EQ(read.complaint, "") << line;
    EXPECT_TRUE(read.method != nullptr || read.shortcut != nullptr) << line;
  }
  EXPECT_GE(shown, 10);
}

// ---- what is mentioned in passing ----

TEST(ManPages, NameNoCommandThatDoesNotExist) {
  const CommandTable table = all_commands();
  for (const std::string& line : all_pages()) {
    const auto words = split_words(line);
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
      if (words[i] == "Ic" || words[i] == ".Ic") {
        EXPECT_TRUE(is_command(table, words[i + 1])) << line;
      }
    }
  }
}

TEST(ManPages, NameNoOptionThatDoesNotExist) {
  for (const std::string& line : all_pages()) {
    const auto words = split_words(line);
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
      if (words[i] == "Fl" || words[i] == ".Fl") {
        EXPECT_TRUE(is_option(option_rows(), words[i + 1]) ||
                    is_option(networks_option_rows(), words[i + 1]))
            << line;
      }
    }
  }
}

TEST(ManPages, ShowCommandLinesThatTheParserTakes) {
  Lines lines = examples(all_pages());
  for (const std::string& line : examples(read_lines("README.md"))) lines.push_back(line);
  const std::regex ours(R"(^(ExecStart=|sudo )?\S*(lanyardd|vde_switch)( .*)?$)");
  int shown = 0;
  for (const std::string& line : lines) {
    if (!std::regex_match(line, ours)) continue;
    ++shown;
    std::vector<std::string> words;
    for (const std::string_view word : split_words(line)) words.emplace_back(word);
    if (words.front() == "sudo") words.erase(words.begin());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    if (asks_for_networks("lanyardd", static_cast<int>(words.size()), argv.data())) {
      const NetworksOptions options =
          parse_networks_options(static_cast<int>(words.size()), argv.data());
      EXPECT_EQ(options.action, DaemonOptions::Action::run) << line << ": " << options.complaint;
      continue;
    }
    const DaemonOptions options = parse_options(static_cast<int>(words.size()), argv.data());
    EXPECT_EQ(options.action, DaemonOptions::Action::run) << line << ": " << options.complaint;
    EXPECT_TRUE(options.warnings.empty()) << line << ": " << options.warnings.front();
  }
  EXPECT_GE(shown, 7);
}

TEST(ManPages, ShowConsoleLinesThatAreCommands) {
  const CommandTable table = all_commands();
  BackendRegistry registry;
  register_builtin_backends(registry);
  const std::string prompt = "vde$ ";
  const std::regex command_of_a_script(R"(^[a-z]+/[a-z]+( .*)?$)");
  int shown = 0;
  for (std::string line : examples(all_pages())) {
    if (line.starts_with(prompt)) {
      line = line.substr(prompt.size());
    } else if (!std::regex_match(line, command_of_a_script)) {
      continue;
    }
    ++shown;
    const auto words = split_words(line);
    EXPECT_TRUE(is_command(table, words[0])) << line;
    if (words[0] != "port/plug") continue;
    const Result<BackendOptions> options = BackendOptions::parse(words.at(1));
    ASSERT_TRUE(options) << line;
    EXPECT_NE(registry.find(options.value().kind()), nullptr) << line;
  }
  EXPECT_GE(shown, 15);
}

// ---- numbers ----

TEST(ManPages, GiveTheNumbersOfTheCode) {
  const Lines backends = read_lines("man/lanyard-backends.7");
  for (const char* description : {"QEMU user=a pid=1", "VirtualBOX user=a pid=1", "x pid=1", "x"}) {
    const std::string size = with_commas(vde_receiver_frame_max(description));
    EXPECT_TRUE(contains(backends, " Ta " + size)) << description << " takes " << size;
  }
  EXPECT_TRUE(contains(backends, with_commas(kMaxFrameSize) + " bytes are written"));
  EXPECT_EQ(FrameQueue::kDefaultBytes, std::size_t{1} << 20) << "the page says 1 MiB";
  const Lines daemon = read_lines("man/lanyardd.1");
  EXPECT_TRUE(contains(daemon, fmt::format("can have {} bytes", kSocketDirectoryMax)));
  EXPECT_TRUE(contains(daemon, with_commas(MacTable::kDefaultEntries) + " addresses"));
  EXPECT_TRUE(contains(daemon, fmt::format("Number of ports, 1 to {};", kPortMax)));
  const Lines console = read_lines("man/lanyard-console.7");
  EXPECT_TRUE(contains(console, with_commas(MacTable::kDefaultEntries) + " addresses"));
  EXPECT_TRUE(contains(console, with_commas(LineReader::kLineMax) + " bytes"));
  EXPECT_TRUE(contains(console, with_commas(kMaxFrameSize) + " bytes"));
}

}  // namespace
}  // namespace lanyard
