// SPDX-License-Identifier: MIT
#include "switch/control/plugin_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>

#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryDirectory;

std::string write_file(const std::string& path) {
  std::ofstream(path) << "x";
  return path;
}

TEST(PluginFile, FindsPathsAndNamesWithAndWithoutSuffix) {
  const TemporaryDirectory directory;
  const std::string file = write_file(directory.path() + "/one.so");
  const std::vector<std::string> places{"/nonexistent", directory.path()};
  for (const std::string& name :
       {file, directory.path() + "/one", std::string("one.so"), std::string("one")}) {
    const Result<std::string> found = find_plugin(name, places);
    ASSERT_TRUE(found.ok()) << name;
    EXPECT_TRUE(found.value().ends_with("/one.so")) << name;
  }
}

TEST(PluginFile, SaysWhereItLooked) {
  const TemporaryDirectory directory;
  const Result<std::string> found = find_plugin("two", {directory.path()});
  ASSERT_FALSE(found.ok());
  EXPECT_EQ(found.error().code, ENOENT);
  EXPECT_THAT(found.error().text, HasSubstr(directory.path()));
  EXPECT_EQ(find_plugin("", {}).error().code, EINVAL);
  EXPECT_EQ(find_plugin(directory.path(), {}).error().code, ENOENT) << "a directory is no plugin";
}

TEST(PluginFile, OnlyWhatNobodyButRootCanChange) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to own files as root";
  const TemporaryDirectory directory;
  const std::string sub = directory.path() + "/sub";
  ASSERT_EQ(::mkdir(sub.c_str(), 0755), 0);
  const std::string file = write_file(sub + "/one.so");
  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  EXPECT_TRUE(check_only_root_writes(file).ok());

  ASSERT_EQ(::chmod(file.c_str(), 0664), 0);
  EXPECT_EQ(check_only_root_writes(file).error().code, EACCES);
  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  ASSERT_EQ(::chown(file.c_str(), 12345, 0), 0);
  EXPECT_THAT(check_only_root_writes(file).error().text, HasSubstr("belongs to user 12345"));
  ASSERT_EQ(::chown(file.c_str(), 0, 0), 0);

  ASSERT_EQ(::chmod(sub.c_str(), 0777), 0);
  EXPECT_EQ(check_only_root_writes(file).error().code, EACCES) << "its directory";
  ASSERT_EQ(::chmod(sub.c_str(), 01777), 0);
  EXPECT_EQ(check_only_root_writes(file).error().code, EACCES) << "its directory, sticky";
  ASSERT_EQ(::chmod(sub.c_str(), 0755), 0);
  ASSERT_EQ(::chown(directory.path().c_str(), 12345, 0), 0);
  EXPECT_EQ(check_only_root_writes(file).error().code, EACCES) << "a directory above";
  ASSERT_EQ(::chown(directory.path().c_str(), 0, 0), 0);
}

}  // namespace
}  // namespace lanyard
