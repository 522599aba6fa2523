-- on a
UPDATE notes SET title = sqlite_version();
UPDATE notes SET title = load_extension('x');
