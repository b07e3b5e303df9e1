CREATE TABLE users (
  id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL, email VARCHAR(190) NOT NULL UNIQUE, password_hash VARCHAR(255),
  created_at DATETIME NOT NULL
);
CREATE TABLE profiles (
  user_id BIGINT UNSIGNED PRIMARY KEY, bio TEXT, settings JSON, avatar MEDIUMBLOB,
  CONSTRAINT profiles_user FOREIGN KEY (user_id) REFERENCES users (id)
);
CREATE TABLE posts (
  id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, author_id BIGINT UNSIGNED NOT NULL, editor_id BIGINT UNSIGNED, title VARCHAR(200) NOT NULL,
  body LONGTEXT NOT NULL, published_at DATETIME,
  CONSTRAINT posts_author FOREIGN KEY (author_id) REFERENCES users (id), CONSTRAINT posts_editor FOREIGN KEY (editor_id) REFERENCES users (id)
);
CREATE TABLE comments (
  id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, post_id BIGINT UNSIGNED NOT NULL, parent_id BIGINT UNSIGNED, user_id BIGINT UNSIGNED,
  body TEXT NOT NULL,
  CONSTRAINT comments_post FOREIGN KEY (post_id) REFERENCES posts (id), CONSTRAINT comments_user FOREIGN KEY (user_id) REFERENCES users (id),
  CONSTRAINT comments_parent FOREIGN KEY (parent_id) REFERENCES comments (id)
);
CREATE TABLE tags (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL UNIQUE);
CREATE TABLE post_tags (
  id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, post_id BIGINT UNSIGNED NOT NULL, tag_id INT UNSIGNED NOT NULL, created_at DATETIME,
  UNIQUE (post_id, tag_id),
  CONSTRAINT post_tags_post FOREIGN KEY (post_id) REFERENCES posts (id), CONSTRAINT post_tags_tag FOREIGN KEY (tag_id) REFERENCES tags (id)
);
CREATE TABLE post_likes (
  user_id BIGINT UNSIGNED NOT NULL, post_id BIGINT UNSIGNED NOT NULL, weight INT NOT NULL DEFAULT 1, PRIMARY KEY (user_id, post_id),
  CONSTRAINT likes_user FOREIGN KEY (user_id) REFERENCES users (id), CONSTRAINT likes_post FOREIGN KEY (post_id) REFERENCES posts (id)
);
CREATE TABLE followers (
  follower_id BIGINT UNSIGNED NOT NULL, followed_id BIGINT UNSIGNED NOT NULL, PRIMARY KEY (follower_id, followed_id),
  CONSTRAINT f_follower FOREIGN KEY (follower_id) REFERENCES users (id), CONSTRAINT f_followed FOREIGN KEY (followed_id) REFERENCES users (id)
);
CREATE TABLE page_views (post_id BIGINT UNSIGNED NOT NULL, seen_at DATETIME NOT NULL, ip VARCHAR(45), CONSTRAINT views_post FOREIGN KEY (post_id) REFERENCES posts (id));
INSERT INTO users VALUES (1, 'Ada', 'ada@example.com', 'x', '2024-01-01'), (2, 'Bo', 'bo@example.com', NULL, '2024-01-02'), (3, 'Cy', 'cy@example.com', NULL, '2024-01-03');
INSERT INTO profiles VALUES (1, 'Mills.', '{"theme": "dark"}', NULL), (3, NULL, NULL, x'0102');
INSERT INTO posts VALUES (1, 1, 2, 'Tides', 'They turn.', '2024-02-01'), (2, 1, NULL, 'Mills', 'So do they.', NULL), (3, 3, 1, 'Sea', 'Wet.', '2024-02-03');
INSERT INTO comments VALUES (1, 1, NULL, 2, 'Yes'), (2, 1, 1, 3, 'No'), (3, 1, 2, NULL, 'Maybe'), (4, 3, NULL, 1, 'Blue');
INSERT INTO tags VALUES (1, 'water'), (2, 'wind');
INSERT INTO post_tags VALUES (1, 1, 1, NULL), (2, 1, 2, '2024-02-01'), (3, 2, 2, NULL);
INSERT INTO post_likes VALUES (1, 3, 2), (2, 1, 1), (3, 1, 5);
INSERT INTO followers VALUES (1, 2), (1, 3), (2, 1);
INSERT INTO page_views VALUES (1, '2024-02-01 10:00:00', '::1'), (1, '2024-02-01 10:00:00', '::1'), (2, '2024-02-02 10:00:00', NULL);
