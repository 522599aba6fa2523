-- query mixed()
SELECT t.sum FROM totals t JOIN orders o ON o.customer = t.customer;
