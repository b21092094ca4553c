// SPDX-License-Identifier: MIT
#include "switch/cli/command_line.h"

#include <gmock/gmock.h>

#include "switch/base/text.h"

namespace lanyard {
namespace {

CommandLine parse(std::string_view line) {
  std::vector<std::string> words;
  for (const std::string_view word : split_words(line)) words.emplace_back(word);
  return parse_command_line(words);
}

// "port.set {...}", "up a b", or the complaint.
std::string meaning(std::string_view line) {
  const CommandLine read = parse(line);
  if (!read.complaint.empty()) return read.complaint;
  if (read.method != nullptr) {
    return fmt::format("{}.{} {}", read.method->object, read.method->verb, read.params.dump());
  }
  return read.shortcut == nullptr
             ? std::string()
             : fmt::format("{} {}", read.shortcut->name, fmt::join(read.arguments, " "));
}

struct Row {
  std::string_view line;
  std::string_view meaning;  // a part
};

class CommandLines : public testing::TestWithParam<Row> {};

TEST_P(CommandLines, AreUnderstood) {
  EXPECT_THAT(meaning(GetParam().line), testing::HasSubstr(GetParam().meaning)) << GetParam().line;
}

INSTANTIATE_TEST_SUITE_P(
    Table, CommandLines,
    testing::Values(
        Row{"port list", "port.list {}"}, Row{"port", "port.list {}"}, Row{"po l", "port.list {}"},
        Row{"plugin", "plugin.list {}"}, Row{"n sh lab", R"(network.show {"network":"lab"})"},
        Row{"port list lab", R"(port.list {"network":"lab"})"},
        Row{"port set lab 3 vlan=10", R"(port.set {"network":"lab","port":3,"vlan":10})"},
        Row{"port set port=3 lab", R"(port.set {"network":"lab","port":3})"},
        Row{"port set lab 3 pass_tags=yes", R"("pass_tags":true)"},
        Row{"forward add lab ssh 2222 vm1:22",
            R"({"from":"2222","name":"ssh","network":"lab","to":"vm1:22"})"},
        Row{"forward add lab x unix:/tmp/a=b vm1:22", R"("from":"unix:/tmp/a=b")"},
        Row{"up lab.toml", "up lab.toml"}, Row{"up", "up "}, Row{"u", "\"u\" may be up, upgrade"},
        Row{"qemu a b vm=c", "qemu a b vm=c"}, Row{"-- up", "up "}, Row{"", ""},
        Row{"d", "\"d\" may be down, diff, dump, doctor, daemon"},
        Row{"f", "\"f\" may be fdb, flow, forward"}, Row{"port s", "port: \"s\" may be show, set"},
        Row{"prot list", "there is no command \"prot\"; did you mean port?"},
        Row{"xyzzy", "there is no command \"xyzzy\"; there are up,"},
        Row{"port lsit", "port: there is no verb \"lsit\"; did you mean list?"},
        Row{"config", "config what? There are check, diff"},
        Row{"network show", "network is missing (name of a network); usage: lanyard network show"},
        Row{"network show a b", "\"b\" is one word too many"},
        Row{"network show a network=b", "network is there twice"},
        Row{"port show lab three", "port: \"three\" is not a number"},
        Row{"port set lab 3 pass_tags=maybe", "is not yes or no"},
        Row{"up a b", "\"b\" is one word too many; usage: lanyard up [FILE]"},
        Row{"--jsn up", "there is no option --jsn"}, Row{"--control", "--control needs"}));

TEST(CommandLine, TakesOptionsAnywhere) {
  const CommandLine line = parse("port --json list --control=/run/x lab");
  EXPECT_TRUE(line.json);
  EXPECT_EQ(line.control, "/run/x");
  EXPECT_EQ(line.params["network"], "lab");
  EXPECT_EQ(parse("--control /run/y status").control, "/run/y");
  EXPECT_TRUE(parse("port set --help").help);
  EXPECT_EQ(parse("port set --help").complaint, "");
}

TEST(CommandLine, ExitCodesFollowTheErrorsOfTheDaemon) {
  EXPECT_EQ(static_cast<int>(exit_code_of(RpcCode::failed)), 1);
  EXPECT_EQ(static_cast<int>(exit_code_of(RpcCode::invalid_params)), 2);
  EXPECT_EQ(static_cast<int>(exit_code_of(RpcCode::not_found)), 3);
  EXPECT_EQ(static_cast<int>(exit_code_of(RpcCode::not_permitted)), 4);
  EXPECT_EQ(static_cast<int>(exit_code_of(RpcCode::unreachable)), 5);
  EXPECT_EQ(static_cast<int>(exit_code_of(RpcCode::conflict)), 6);
  EXPECT_EQ(static_cast<int>(exit_code_of(RpcCode::internal_error)), 1);
}

TEST(Help, NamesEveryWord) {
  const std::string text = help_text();
  for (const Shortcut& shortcut : shortcuts()) {
    EXPECT_THAT(text, testing::HasSubstr(std::string(shortcut.help)));
  }
  for (const RpcMethod& method : rpc_methods()) {
    EXPECT_THAT(text, testing::HasSubstr(std::string(method.verb)));
    EXPECT_THAT(object_help(method.object), testing::HasSubstr(std::string(method.help)));
    for (const RpcParameter& parameter : method.parameters) {
      EXPECT_THAT(method_help(method), testing::HasSubstr(std::string(parameter.help)));
    }
  }
}

}  // namespace
}  // namespace lanyard
