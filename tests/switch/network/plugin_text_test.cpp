// SPDX-License-Identifier: MIT
#include "switch/network/plugin_text.h"

#include <gmock/gmock.h>

namespace lanyard {
namespace {

using testing::HasSubstr;
using Lines = std::vector<std::string>;

TEST(PluginText, IsAPluginAndWhatIsSaidToIt) {
  const struct {
    const char* text;
    const char* file;
    Lines commands;
  } rows[]{
      {"acl", "acl", {}},
      {"/opt/x/my-plugin.so", "/opt/x/my-plugin.so", {}},
      {"  acl ;", "acl", {}},
      {"acl; acl/add deny type ip6; acl/default deny",
       "acl",
       {"acl/add deny type ip6", "acl/default deny"}},
      {"pdump;;pdump/filter tcp[13] & 2 != 0 ; ", "pdump", {"pdump/filter tcp[13] & 2 != 0"}},
      {"/a dir/x", "/a dir/x", {}},
  };
  for (const auto& row : rows) {
    const Result<PluginText> parsed = parse_plugin_text(row.text);
    ASSERT_TRUE(parsed) << row.text << ": " << parsed.error().text;
    EXPECT_EQ(parsed.value().file, row.file);
    EXPECT_EQ(parsed.value().commands, row.commands) << row.text;
  }
}

TEST(PluginText, IsRefusedWithASentence) {
  const struct {
    std::string text;
    const char* part;
  } rows[]{
      {"", "which plugin?"},
      {" ; acl/default deny", "which plugin?"},
      {"pdump active=1", "behind semicolons"},
      {"./acl.so", "absolute path"},
      {"lib/acl.so", "absolute path"},
      {"..", "absolute path"},
      {"acl;\nacl/default deny", "control characters"},
      {"acl" + std::string(5000, ';'), "5003 bytes"},
  };
  for (const auto& row : rows) {
    const Result<PluginText> parsed = parse_plugin_text(row.text);
    ASSERT_FALSE(parsed) << row.text;
    EXPECT_THAT(parsed.error().text, HasSubstr(row.part));
  }
}

TEST(PluginText, TellsPluginsByTheirFilesName) {
  EXPECT_EQ(plugin_stem("acl"), "acl");
  EXPECT_EQ(plugin_stem("/usr/lib/lanyard/plugins/acl.so"), "acl");
  EXPECT_EQ(plugin_stem("acl.so"), "acl");
}

}  // namespace
}  // namespace lanyard
