--- Version 1 had a text "low", "mid", "high" where there is a number now.
-- upcast tasks.put 1 -> 2
SELECT json_set(:data, '$.weight', CASE :data->>'$.weight' WHEN 'low' THEN 1 WHEN 'mid' THEN 5 WHEN 'high' THEN 9 ELSE :data->'$.weight' END);
-- upcast tasks.patched 1 -> 2
SELECT CASE WHEN json_type(:data, '$.weight') IS NULL THEN :data
  ELSE json_set(:data, '$.weight', CASE :data->>'$.weight' WHEN 'low' THEN 1 WHEN 'mid' THEN 5 WHEN 'high' THEN 9 ELSE :data->'$.weight' END) END;
