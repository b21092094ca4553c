// SPDX-License-Identifier: MIT
#include "switch/daemon/spawner_directories.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "tests/support/fake_log.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

namespace fs = std::filesystem;
using Kind = SpawnerRequest::Kind;

class SpawnerDirectoriesTest : public ::testing::Test {
 protected:
  SpawnerDirectoriesTest() {
    for (const char* const name : {"run", "elsewhere"}) fs::create_directory(place / name);
  }
  bool does(Kind kind, const fs::path& path) {
    return directories
        .perform({.kind = kind, .path = path, .access = {0660, 02770, kNoGroup}, .remove = true})
        .ok();
  }
  // As the daemon leaves it when it confines itself.
  void settle() {
    EXPECT_TRUE(does(Kind::allow_directories, place / "run"));
    directories.settle();
  }

  testing::TemporaryDirectory directory;
  fs::path place = fs::canonical(directory.path());
  testing::FakeLog log;
  SpawnerDirectories directories{log};
};

TEST_F(SpawnerDirectoriesTest, ArePlacedAnywhereBeforeTheDaemonIsConfined) {
  EXPECT_TRUE(does(Kind::may_claim_directory, place / "elsewhere/lab"));
  EXPECT_TRUE(does(Kind::claim_directory, place / "elsewhere/lab"));
}

TEST_F(SpawnerDirectoriesTest, ArePlacedWhereTheDaemonHasSaidAfterwards) {
  settle();
  for (const char* const name : {"run/lab", "run/labs/deep"}) {
    EXPECT_TRUE(does(Kind::may_claim_directory, place / name)) << name;
  }
  for (const char* const name : {"elsewhere/lab", "running/lab", "lab"}) {
    EXPECT_FALSE(does(Kind::may_claim_directory, place / name)) << name;
    EXPECT_FALSE(does(Kind::claim_directory, place / name)) << name;
    EXPECT_FALSE(fs::exists(place / name)) << name;
  }
}

TEST_F(SpawnerDirectoriesTest, AreNotReachedByALinkThatLeadsElsewhere) {
  settle();
  fs::create_directory_symlink(place / "elsewhere", place / "run/link");
  EXPECT_FALSE(does(Kind::claim_directory, place / "run/link/lab"));
  EXPECT_FALSE(does(Kind::claim_directory, place / "run/link"));
}

TEST_F(SpawnerDirectoriesTest, HaveSocketsWhenTheyWereClaimed) {
  settle();
  EXPECT_FALSE(does(Kind::listen_in_directory, place / "run/lab/ctl"));
  EXPECT_TRUE(does(Kind::claim_directory, place / "run/lab"));
  EXPECT_TRUE(does(Kind::listen_in_directory, place / "run/lab/ctl"));
  EXPECT_TRUE(fs::is_socket(place / "run/lab/ctl"));
}

TEST_F(SpawnerDirectoriesTest, AreRemovedWhenTheyWereClaimedAndOnce) {
  settle();
  fs::create_directory(place / "run/foreign");
  EXPECT_FALSE(does(Kind::clean_directory, place / "run/foreign"));
  EXPECT_TRUE(fs::exists(place / "run/foreign"));
  EXPECT_TRUE(does(Kind::claim_directory, place / "run/lab"));
  EXPECT_TRUE(does(Kind::clean_directory, place / "run/lab"));
  EXPECT_FALSE(fs::exists(place / "run/lab"));
  EXPECT_FALSE(does(Kind::clean_directory, place / "run/lab"));
}

TEST_F(SpawnerDirectoriesTest, OfAPredecessorAreAdoptedBeforeTheDaemonIsConfined) {
  fs::create_directory(place / "run/early");
  fs::create_directory(place / "run/late");
  EXPECT_TRUE(does(Kind::adopt_directory, place / "run/early"));
  settle();
  EXPECT_FALSE(does(Kind::adopt_directory, place / "run/late"));
  EXPECT_FALSE(does(Kind::allow_directories, place / "elsewhere"));
  EXPECT_TRUE(does(Kind::clean_directory, place / "run/early"));
  EXPECT_FALSE(does(Kind::clean_directory, place / "run/late"));
}

}  // namespace
}  // namespace lanyard
