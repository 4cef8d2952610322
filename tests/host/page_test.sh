#!/usr/bin/env bash
# The page of reports: `built`: what is committed is what its sources build; `browser`: it works in a headless Chromium.
# Exits with 77 where it cannot be tested: page_test.sh built|browser reports/page tests/data FOLDER
# Packages from npm are kept in FOLDER, or taken from reports/page/node_modules where they are there.
set -euo pipefail
what=$1 source=$(realpath "$2") data=$(realpath "$3") folder=$(realpath -m "$4")

skip() {
  echo "skipped: $1"
  exit 77
}
command -v node > /dev/null || skip "there is no node"
[ "$(node -p 'parseInt(process.versions.node)')" -ge 18 ] || skip "node $(node --version) is older than 18"
command -v npm > /dev/null || skip "there is no npm"
browser=
if [ "$what" = browser ]; then
  browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || skip "there is no Chromium"
fi

mkdir -p "$folder"
rm -rf "$folder/src" "$folder/test"
cp -r "$source/src" "$source/test" "$source/build.mjs" "$source/package.json" "$source/.npmrc" "$folder/"
if [ -d "$source/node_modules/esbuild" ] && [ "$source/node_modules" -nt "$source/package-lock.json" ]; then
  rm -rf "$folder/node_modules"
  ln -s "$source/node_modules" "$folder/node_modules"
elif [ -L "$folder/node_modules" ] || ! cmp -s "$source/package-lock.json" "$folder/installed-lock.json"; then
  rm -rf "$folder/node_modules"
  cp "$source/package-lock.json" "$folder/"
  (cd "$folder" && timeout 400 npm ci --silent) || skip "npm cannot install what package-lock.json names"
  cp "$source/package-lock.json" "$folder/installed-lock.json"
fi

if [ "$what" = built ]; then
  node "$folder/build.mjs" "$folder/page.html"
  cmp "$source/dist/page.html" "$folder/page.html" || { echo "run make page, and commit reports/page/dist/page.html"; exit 1; }
else
  node "$folder/test/page_test.mjs" "$source/dist/page.html" "$data" "$browser"
fi
